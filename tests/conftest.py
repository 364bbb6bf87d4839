"""A home folder and a stand-in for the tests that look for data or for a cluster, and two invented searches.

Before tests that break the machine start, one line says what it lacks for them.
"""

from pathlib import Path

import pytest

from bloodtune.run.directory import RunDirectory
from data_fixtures import make_arrays, save
from machine_needs import missing
from summary_fixtures import fake_run


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to start if the machine lacks what a module of the selected tests names in ``MACHINE_NEEDS``."""
    modules = {item.getparent(pytest.Module) for item in session.items}
    line = missing(need for module in modules if module for need in getattr(module.obj, "MACHINE_NEEDS", ()))
    if line and not session.config.option.collectonly:
        raise pytest.UsageError(line)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test a home folder of its own and no setting from outside."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("BLOODTUNE_DATA", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return folder


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a small file of eight classes in the place of the built-in stand-in."""
    path = save(tmp_path / "standin_v1.npz", make_arrays(classes=8))
    monkeypatch.setattr("bloodtune.data.dataset.load_standin", lambda: path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return fake_run(tmp_path_factory.mktemp("runs") / "search")


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return fake_run(tmp_path_factory.mktemp("runs") / "control", seed=4)
