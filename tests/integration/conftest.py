"""A folder to run commands in, and a search that is finished there; each file of tests has its own."""

from pathlib import Path

import pytest

from bloodtune.run import RunDirectory
from command_fixtures import fill, finish_search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def finished(folder: Path) -> tuple[RunDirectory, str]:
    return finish_search(folder)
