"""The layers of the code: imports point down, and heavy packages stay where they belong."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE, ANALYSIS, BENCHMARKS = ROOT / "bloodtune", ROOT / "analysis", ROOT / "benchmarks"

# From the bottom up: a part may import those before it, for type checking too. Those of one line may import each other.
LAYERS = (
    ("errors", "files", "command_line"),
    ("space",),
    ("data",),
    ("run",),
    ("training",),
    ("monitoring",),
    ("inference",),
    ("adaptation",),
    ("tuning",),
    ("search", "predict", "serve", "evaluate", "adapt"),
    ("__main__",),
)
APART = (("data", "space"), ("inference", "run"))  # the first does not import the second, though it stands above it

# Package: the parts of bloodtune and analysis that may import it.
PLACES = {
    "ray": ("bloodtune.tuning",),
    "optuna": ("bloodtune.tuning", "bloodtune.run.study_db", "figures.importance"),
    "torch": ("bloodtune.training", "bloodtune.inference", "bloodtune.adaptation", "bloodtune.tuning"),
    "matplotlib": ("figures",),
    "flask": ("bloodtune.serve",),
}
PRIVATE = (
    "bloodtune.tuning.ray_patches",
    "bloodtune.training.process_setup",
)  # may use private names of other packages

# What breaks a rule today: module, and what it imports. Each entry is to be got rid of.
EXCEPTIONS: dict[str, set[str]] = {
    "bloodtune.training.optimizers": {"torch._foreach_sub"},
}


def name_of(file: Path) -> str:
    """Return a module's dotted name: ``bloodtune.run.records``; below ``analysis/`` without that folder."""
    base = ANALYSIS if file.is_relative_to(ANALYSIS) else ROOT
    return ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MODULES = {name_of(file): file for folder in (PACKAGE, ANALYSIS) for file in sorted(folder.rglob("*.py"))}
OWN = {name: file for name, file in MODULES.items() if name.startswith("bloodtune.")}


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Give the dotted names that import statements among ``nodes`` name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(file: Path) -> Iterator[str]:
    """Give the dotted names that a file imports, wherever in it that is."""
    return imported(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def own_imports(name: str) -> set[str]:
    """Return the modules of bloodtune and analysis that a module imports."""
    return set(imports(MODULES[name])) & set(MODULES) - {name, "bloodtune"}


def loads(name: str) -> set[str]:
    """Return the packages of others that importing a module loads, by itself or through other modules."""
    found, seen, waiting = set(), set(), [name]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        top = set(imported(ast.parse(MODULES[module].read_text(encoding="utf-8")).body))
        found |= {dotted.partition(".")[0] for dotted in top} - {"bloodtune", *sys.stdlib_module_names}
        waiting += (top & set(MODULES)) - seen
    return found - {name.partition(".")[0] for name in MODULES}


def late_imports(file: Path) -> set[str]:
    """Return the dotted names that a file imports inside functions."""
    functions = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, FUNCTIONS)]
    return {dotted for function in functions for dotted in imported(ast.walk(function))}


def packages(file: Path) -> set[str]:
    return {dotted.partition(".")[0] for dotted in imports(file)}


def private_names(file: Path) -> set[str]:
    """Return the private names of other packages that a file imports or reaches into, such as ``ray._private``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {dotted for dotted in imports(file) if not dotted.startswith("bloodtune")}
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {(a.asname or a.name).partition(".")[0]: a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("bloodtune"):
            bound |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if root in bound and rest.replace(".", "").isidentifier():
                found.add(f"{bound[root]}.{rest}")
    private = set()
    for dotted in found:
        parts = dotted.split(".")
        at = next((i for i, part in enumerate(parts) if part.startswith("_") and not part.endswith("_")), 0)
        if at and parts[0] not in sys.stdlib_module_names:
            private.add(".".join(parts[: at + 1]))
    return private


def layer(name: str) -> int:
    part = name.split(".")[1]
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def is_below(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def test_every_part_has_its_layer() -> None:
    parts = {name.split(".")[1] for name in OWN}
    assert parts == {part for parts in LAYERS for part in parts}


@pytest.mark.parametrize("name", sorted(OWN))
def test_imports_point_down(name: str) -> None:
    part = name.split(".")[1]
    above = {other for other in own_imports(name) if layer(other) > layer(name)}
    apart = {other for other in own_imports(name) if (part, other.split(".")[1]) in APART}
    assert above | apart == set()


def test_no_import_goes_in_a_circle() -> None:
    order = list(graphlib.TopologicalSorter({name: own_imports(name) for name in MODULES}).static_order())
    for command in ("bloodtune.search", "summarize"):
        assert order.index("bloodtune.run.records") < order.index(command)


def test_the_reader_of_imports_sees_all_kinds(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        "import ray.tune\nfrom bloodtune.run import records\nfrom torch import _C\nimport os\nos._exit\n"
        "if TYPE_CHECKING:\n    from bloodtune.data.npz import Split\n"
        "def f():\n    import torch as t\n    ray._private.f()\n    f._own()\n"
    )
    assert packages(file) == {"ray", "bloodtune", "torch", "os"}
    assert {"bloodtune.run.records", "bloodtune.data.npz", "ray.tune"} <= set(imports(file))
    assert private_names(file) == {"torch._C", "ray._private"}
    driven = {"bloodtune.run.repair", "bloodtune.tuning.plan_execution", "bloodtune.tuning.plan"}
    assert own_imports("bloodtune.tuning.driver") >= driven


@pytest.mark.parametrize("package", sorted(PLACES))
def test_a_heavy_package_is_imported_where_it_belongs(package: str) -> None:
    importing = {name for name, file in MODULES.items() if package in packages(file)}
    assert importing
    strangers = {name for name in importing if not is_below(name, PLACES[package])}
    assert strangers == {name for name, names in EXCEPTIONS.items() if package in names}


def test_private_names_and_mocks_are_where_they_are_expected() -> None:
    found = {}
    for name, file in MODULES.items():
        used = set() if is_below(name, PRIVATE) else private_names(file)
        used |= {"unittest.mock"} & set(imports(file))
        if used:
            found[name] = used
    rules = {name: {one for one in names if one not in PLACES} for name, names in EXCEPTIONS.items()}
    assert found == {name: names for name, names in rules.items() if names}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_function_imports_only_what_would_load_a_package_too_early(name: str) -> None:
    here = loads(name)
    for dotted in late_imports(MODULES[name]):
        package = dotted.partition(".")[0]
        if dotted in MODULES:
            assert loads(dotted) - here, f"{dotted} belongs to the top of the module"
        elif package not in {name.partition(".")[0] for name in MODULES}:
            assert package not in here | set(sys.stdlib_module_names), f"{dotted} belongs to the top of the module"


def test_nothing_imports_torchvision() -> None:
    files = [file for folder in (PACKAGE, ANALYSIS, BENCHMARKS) for file in folder.rglob("*.py")]
    assert len(files) > 20
    assert [file for file in files if "torchvision" in packages(file)] == []


def test_no_file_of_the_analysis_is_named_like_a_module_of_the_standard_library() -> None:
    # `python analysis/summarize.py` puts analysis/ first on the path.
    names = {file.stem for file in (*ANALYSIS.glob("*.py"), *ANALYSIS.glob("*/"))}
    assert {"summarize", "figures"} <= names
    assert names & (set(sys.stdlib_module_names) | {"bloodtune"}) == set()


def test_the_package_knows_nothing_of_the_analysis() -> None:
    scripts = {name.partition(".")[0] for name in MODULES} - {"bloodtune"} | {"analysis"}
    assert {name: packages(file) & scripts for name, file in OWN.items() if packages(file) & scripts} == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        # Bad input and --help answer before anything heavy is loaded.
        ("bloodtune.search", {"torch", "torchvision", "ray", "optuna", "sklearn", "matplotlib", "medmnist"}),
        ("bloodtune.predict", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "jinja2"}),
        ("bloodtune.evaluate", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "jinja2"}),
        ("bloodtune.adapt", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "jinja2"}),
        ("bloodtune.serve", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "flask"}),
        ("bloodtune.data.dataset", {"torch", "torchvision", "ray", "optuna", "pandas", "medmnist", "pooch"}),
        ("bloodtune.space.recipe_file", {"torch", "numpy", "ray", "optuna", "pandas"}),
        ("bloodtune.tuning.ray_cluster", {"torch", "torchvision", "optuna", "ray"}),
        ("bloodtune.tuning.ray_patches", {"torch", "torchvision", "optuna", "ray"}),
        ("bloodtune.tuning.tune_searcher", {"torch", "torchvision"}),
        ("bloodtune.tuning.worker", {"torch", "torchvision", "optuna"}),
        ("bloodtune.training.trainer", {"ray", "optuna", "torchvision", "sklearn"}),
    ],
)
def test_importing_a_module_leaves_heavy_packages_alone(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert found.stdout.split() == []


def steps(title: str) -> list[str]:
    """Return the modules and packages of a path in docs/design.md, in its order."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found: list[str] = []
    for cell in re.findall(r"^\| (`bloodtune/.*?) \|", section, re.MULTILINE):
        names = re.findall(r"`([\w/.]+)`", cell.partition(" (")[0])
        paths = [name if "/" in name else f"{names[0].rpartition('/')[0]}/{name}" for name in names]
        found += [path.rstrip("/").removesuffix(".py").replace("/", ".") for path in paths]
    return found


@pytest.mark.parametrize("title", ["The path of a configuration", "The path of a photograph"])
def test_a_path_in_the_design_has_no_step_back(title: str) -> None:
    order = steps(title)
    assert len(order) > 10
    for place, step in enumerate(order):
        modules = [name for name in OWN if is_below(name, (step,))]
        assert modules, f"there is no {step}"
        back = {other for name in modules for other in own_imports(name) if is_below(other, tuple(order[:place]))}
        assert back == set(), step
