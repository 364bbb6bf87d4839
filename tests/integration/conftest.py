"""A folder to run commands in, where one search is finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from bloodtune.run.directory import RunDirectory
from command_fixtures import fill, finish_search


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, str]:
    """Give a folder, to be read only, with a finished search named ``one``, and what the search said.

    It is searched once, for all test processes.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "searched"
    said = folder / "said.txt"
    with FileLock(folder.with_suffix(".lock")):
        if not said.exists():
            folder.mkdir()
            said.write_text(finish_search(fill(folder)))
    return folder, said.read_text()


@pytest.fixture
def folder(searched: tuple[Path, str], tmp_path: Path) -> Path:
    """Give a test a folder of its own with that search."""
    return Path(shutil.copytree(searched[0], tmp_path / "folder", symlinks=True))


@pytest.fixture
def finished(folder: Path) -> RunDirectory:
    """Give the finished search of the test's folder."""
    return RunDirectory.open(folder / "runs" / "one")
