"""The layout in the README, made from the modules' docstrings.

``python tests/architecture/test_layout.py`` writes it.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TITLE = "## Layout\n\n"
OTHERS = {
    "search/": "recipes in TOML: what to search",
    "benchmarks/": "the programs behind the figures in these pages",
    "cluster.yaml deploy/": "the same on a cluster: docs/cluster.md",
    "docs/": "pages for those who search, count or build; example.py; design.md, reliability.md, experiments.md",
    "tests/": "in the folders of what they test; architecture/ holds this list and the direction of imports",
}


def summary(file: Path) -> str:
    """Return the first line of a module's docstring without its full stop."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring, f"{file} has no docstring"
    return docstring.splitlines()[0].removesuffix(".")


def tree(folder: Path, depth: int = 0) -> list[tuple[str, str]]:
    """Return name and summary of a folder, its files and the folders in it; the names are indented."""
    package = folder / "__init__.py"
    rows = [("    " * depth + f"{folder.name}/", summary(package) if package.exists() else "")]
    for file in sorted(folder.glob("*.py")):
        if file != package:
            rows.append(("    " * (depth + 1) + file.name, summary(file)))
    for inner in sorted(one for one in folder.iterdir() if (one / "__init__.py").exists()):
        rows += tree(inner, depth + 1)
    return rows


def layout() -> str:
    """Return the layout as the README has it: one file a line, its name and the first line of its docstring."""
    rows = [("search/", OTHERS["search/"]), *tree(ROOT / "bloodtune"), *tree(ROOT / "analysis")]
    rows = [(name, text or "after a search: retraining, tables, figures, the report") for name, text in rows]
    rows += [(name, text) for name, text in OTHERS.items() if name != "search/"]
    width = max(len(name) for name, _ in rows) + 2
    return "".join(f"    {name:<{width}}{text}\n" for name, text in rows)


def block() -> re.Match[str]:
    found = re.search(rf"{TITLE}((?:    .*\n)+)", README.read_text(encoding="utf-8"))
    assert found, "the README has no layout"
    return found


def write() -> None:
    """Put the layout into the README."""
    text, found = README.read_text(encoding="utf-8"), block()
    README.write_text(text[: found.start(1)] + layout() + text[found.end(1) :], encoding="utf-8")


def test_the_layout_in_the_readme_is_that_of_the_modules() -> None:
    assert block()[1] == layout()


if __name__ == "__main__":
    write()
