"""The package: lazy imports, commands without warnings, and runs loaded by name."""

import subprocess
import sys
from pathlib import Path

import pytest

import bloodtune
from bloodtune import load_run, run_search
from bloodtune.run.directory import RunDirectory
from error_fixtures import refusal
from run_fixtures import make_record


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import sys, bloodtune; print(*(name for name in sys.modules if name.startswith('bloodtune.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert {"run_search", "load_run", "classify"} <= set(dir(bloodtune))
    with pytest.raises(AttributeError, match="module 'bloodtune' has no attribute 'serach'"):
        bloodtune.serach  # noqa: B018


@pytest.mark.parametrize("module", ["search", "predict", "serve"])
def test_a_command_warns_of_nothing(module: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"bloodtune.{module}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "" and "usage: " in done.stdout


def test_a_run_is_loaded_by_its_name_or_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RunDirectory.create(tmp_path / "runs", "night", "").append_trial(make_record(3))
    for asked in ("night", "latest", "runs/night", tmp_path / "runs" / "night"):
        best = load_run(asked).best()
        assert best is not None and best.trial == 3
    assert load_run().name == "night"
    assert "no run at runs/day; runs in folder runs: night" in refusal(lambda: load_run("day"))


def test_bad_arguments_of_a_search_are_refused_before_it_starts(tmp_path: Path) -> None:
    assert "no run at" in refusal(lambda: run_search(resume="none", out=tmp_path))
    assert "data set 'blodmnist'" in refusal(lambda: run_search(data="blodmnist", out=tmp_path))
    with pytest.raises(TypeError, match=r"run_search\(\) got an unexpected keyword argument 'epochs'"):
        run_search(epochs=3, out=tmp_path)  # type: ignore[call-arg]
