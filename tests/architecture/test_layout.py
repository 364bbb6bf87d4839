"""The layout in README.md (one line per package) and docs/layout.md (one line per file), made from docstrings.

``python tests/architecture/test_layout.py`` writes both.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "layout.md"
MAX_LINES, MAX_WIDTH = 100, 120
BEFORE = {"search/": "recipes in TOML: what to search"}
ANALYSIS = "after a search: retraining, tables, figures, the report"
AFTER = {
    "benchmarks/": "the programs behind the figures in docs/benchmarks.md",
    "deploy/": "and cluster.yaml: a Ray cluster on AWS, on your own hosts, Kubernetes or Slurm",
    "docs/": "pages for users and developers, and example.py",
    "tests/": "one folder per folder above; architecture/ checks imports and this list",
}
HEAD = """\
# Layout

Every module, with the first line of its docstring. `python tests/architecture/test_layout.py` writes this page and the
shorter list in the README, and a test compares both with the code. Packages of `bloodtune/` import in one direction
only ([design.md](design.md)).

"""

Row = tuple[str, str]


def summary(file: Path) -> str:
    """Return the first line of a module's docstring without its full stop."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring, f"{file} has no docstring"
    return docstring.splitlines()[0].removesuffix(".")


def is_package(path: Path) -> bool:
    return (path / "__init__.py").exists()


def packages(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_package(path))


def modules(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")


def row(path: Path, depth: int) -> Row:
    """Return the indented name of a package or module, and the first line of its docstring."""
    is_folder = path.is_dir()
    text = ANALYSIS if path == ROOT / "analysis" else summary(path / "__init__.py" if is_folder else path)
    return "    " * depth + path.name + "/" * is_folder, text


def tree(folder: Path, depth: int = 0) -> Iterator[Row]:
    """Yield the rows of a folder, its modules and the packages in it."""
    yield row(folder, depth)
    for file in modules(folder):
        yield row(file, depth + 1)
    for package in packages(folder):
        yield from tree(package, depth + 1)


def short_tree() -> Iterator[Row]:
    """Yield the rows of the packages, of the modules beside them in bloodtune/, and of the command in analysis/."""
    for folder, files in (
        (ROOT / "bloodtune", modules(ROOT / "bloodtune")),
        (ROOT / "analysis", [ROOT / "analysis" / "summarize.py"]),
    ):
        yield row(folder, 0)
        for path in (*files, *packages(folder)):
            yield row(path, 1)


def full_tree() -> Iterator[Row]:
    yield from tree(ROOT / "bloodtune")
    yield from tree(ROOT / "analysis")


def block(rows: Iterator[Row]) -> str:
    """Return rows as an indented block, with the folders that have no Python package around them."""
    every = [*BEFORE.items(), *rows, *AFTER.items()]
    width = max(len(name) for name, _ in every) + 2
    return "".join(f"    {name:<{width}}{text}\n" for name, text in every)


def block_in_readme() -> re.Match[str]:
    found = re.search(r"## Layout\n\n((?:    .*\n)+)", README.read_text(encoding="utf-8"))
    assert found, "the README has no layout"
    return found


def write() -> None:
    """Write the short layout into the README and the full one into docs/layout.md."""
    text, found = README.read_text(encoding="utf-8"), block_in_readme()
    README.write_text(text[: found.start(1)] + block(short_tree()) + text[found.end(1) :], encoding="utf-8")
    PAGE.write_text(HEAD + block(full_tree()), encoding="utf-8")


def test_the_layout_in_the_readme_is_that_of_the_packages() -> None:
    assert block_in_readme()[1] == block(short_tree())


def test_the_layout_in_the_docs_is_that_of_the_modules() -> None:
    assert PAGE.read_text(encoding="utf-8") == HEAD + block(full_tree())


def test_the_full_layout_names_every_module() -> None:
    files = [file for folder in ("bloodtune", "analysis") for file in (ROOT / folder).rglob("*.py")]
    named = [name.strip() for name, _ in full_tree()]
    assert sorted(name for name in named if name.endswith(".py")) == sorted(
        file.name for file in files if file.name != "__init__.py"
    )


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < MAX_LINES
    assert [line for line in lines if len(line) > MAX_WIDTH] == []


def test_links_between_the_pages_lead_to_files() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "search" / "README.md"]
    broken = []
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


if __name__ == "__main__":
    write()
