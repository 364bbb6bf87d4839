"""Sizes that keep a module readable: lines of a module and of a function."""

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
MAX_MODULE, MAX_MEDIAN, MAX_FUNCTION = 300, 130, 40
FOLDERS = ("bloodtune", "analysis", "benchmarks", "tests")
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_and_its_functions_fit_a_few_screens(file: Path) -> None:
    assert lines(file) <= MAX_MODULE
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, functions)]
    sizes = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in nodes}
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION} == {}


def test_most_modules_are_short() -> None:
    product = [file for file in FILES if ROOT / "tests" not in file.parents]
    for files in (product, [file for file in FILES if file not in product]):
        assert len(files) > 100
        assert median(map(lines, files)) < MAX_MEDIAN
