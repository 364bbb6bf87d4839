"""The layers of the code: imports point down, and heavy packages stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, ANALYSIS = ROOT / "bloodtune", ROOT / "analysis"

# From the top down: a module may import those that stand behind it, for type checking too. A new one needs its place.
LAYERS = (
    *("serve", "search", "listing", "predict", "export", "count_files", "pages"),
    *("inference", "photographs", "counting"),
    "preload",
    *("search_parser", "arguments", "profiler", "progress", "screen", "watchdog", "trainable", "sharing"),
    *("host_timing", "step_times"),
    *("forgetting", "halving", "searcher", "study_file", "trackers", "event_files"),
    *("account", "mend", "storage", "interrupt", "cluster", "quick_start"),
    *("plan", "provenance", "space"),
    *("classifier", "training", "models"),
    *("models.residual", "models.lightweight", "models.cnn", "models.mlnn", "models.layers", "models.kernels"),
    *("losses", "optimizers", "dynamo", "augment", "graphs", "metrics", "data", "synthetic", "fetch"),
    *("recipe", "parameter", "run", "records", "configuration", "stopwatch", "collector", "numerics", "errors"),
)
RAY = {"search", "host_timing", "profiler", "forgetting", "progress", "watchdog", "trainable", "sharing"}
RAY |= {"halving", "searcher", "interrupt", "cluster", "quick_start"}
OPTUNA = {"space", "searcher", "study_file"}
TORCH = {"training", "classifier", "losses", "optimizers", "augment", "graphs", "dynamo"}
TORCH |= {"trainable", "sharing", "inference", "export", "preload", "numerics", "step_times"}


def module_name(file: Path) -> str:
    """Return a module's name below the package: ``search``, ``models``, ``models.cnn``; empty for the package."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports(file: Path) -> Iterator[str]:
    """Give the dotted names that a file imports, wherever in it that is."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    found = {dotted.removeprefix("bloodtune.") for dotted in imports(MODULES[name])}
    return (found & set(MODULES)) - {name}


def packages(file: Path) -> set[str]:
    return {dotted.partition(".")[0] for dotted in imports(file)}


def test_every_module_has_its_place() -> None:
    assert set(MODULES) - {""} <= set(LAYERS)
    assert len(set(LAYERS)) == len(LAYERS)


@pytest.mark.parametrize("name", [name for name in LAYERS if name in MODULES])
def test_imports_point_down(name: str) -> None:
    below = set(LAYERS[LAYERS.index(name) + 1 :])
    assert own_imports(name) <= below


def test_the_reader_of_imports_sees_all_kinds(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        "import ray.tune\nfrom bloodtune import run\n"
        "if TYPE_CHECKING:\n    from bloodtune.data import Split\n"
        "def f():\n    import torch as t\n"
    )
    assert packages(file) == {"ray", "bloodtune", "torch"}
    assert {"bloodtune.run", "bloodtune.data", "ray.tune"} <= set(imports(file))
    assert own_imports("search") >= {"account", "data", "searcher", "trainable"}


@pytest.mark.parametrize(("package", "allowed"), [("ray", RAY), ("optuna", OPTUNA)])
def test_ray_and_optuna_are_imported_by_few(package: str, allowed: set[str]) -> None:
    importing = {name for name, file in MODULES.items() if package in packages(file)}
    assert importing
    assert importing <= allowed


def test_torch_is_imported_by_what_computes_with_it() -> None:
    importing = {name for name, file in MODULES.items() if "torch" in packages(file)}
    assert {name for name in importing if not name.startswith("models")} <= TORCH


def test_nothing_imports_torchvision() -> None:
    files = [file for folder in (PACKAGE, ANALYSIS, ROOT / "benchmarks") for file in folder.rglob("*.py")]
    assert len(files) > 20
    assert [file for file in files if "torchvision" in packages(file)] == []


def test_no_file_of_the_analysis_is_named_like_a_module_of_the_standard_library() -> None:
    # `python analysis/summarize.py` puts analysis/ first on the path.
    names = {file.stem for file in ANALYSIS.glob("*.py")}
    assert "summarize" in names
    assert names & (set(sys.stdlib_module_names) | {"bloodtune"}) == set()


def test_the_package_knows_nothing_of_the_analysis() -> None:
    scripts = {file.stem for file in ANALYSIS.glob("*.py")} | {"analysis"}
    assert {name: packages(file) & scripts for name, file in MODULES.items() if packages(file) & scripts} == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        # Bad input and --help answer before anything heavy is loaded.
        ("bloodtune.search", {"torch", "torchvision", "ray", "optuna", "sklearn", "matplotlib", "medmnist"}),
        ("bloodtune.predict", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "jinja2"}),
        ("bloodtune.serve", {"torch", "torchvision", "ray", "optuna", "sklearn", "scipy", "flask"}),
        ("bloodtune.data", {"torch", "torchvision", "ray", "optuna", "pandas", "medmnist", "pooch"}),
        ("bloodtune.recipe", {"torch", "numpy", "ray", "optuna", "pandas"}),
        ("bloodtune.searcher", {"torch", "torchvision"}),
        ("bloodtune.trainable", {"torch", "torchvision", "optuna"}),
        ("bloodtune.training", {"ray", "optuna", "torchvision", "sklearn"}),
    ],
)
def test_importing_a_module_leaves_heavy_packages_alone(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert found.stdout.split() == []
