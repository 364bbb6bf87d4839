"""The imports of a worker before its first trial: one thread, and no harm where torch is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bloodtune.tuning.host_timing import FOLDER, WaitingWorkers
from engine_fixtures import make_configuration, make_split

BROKEN = """
import importlib.abc, sys
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            raise OSError("libcudart.so: cannot open shared object file")
sys.meta_path.insert(0, Broken())
"""
ASK = "import gc, bloodtune.tuning.worker_preload; print(gc.isenabled())"


def run(code: str, **variables: str) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | variables
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()


def test_a_torch_that_cannot_be_imported_does_not_end_the_worker() -> None:
    assert run(BROKEN + ASK) == ["True"]


@pytest.mark.parametrize(("broken", "file"), [("", "answer-0"), (BROKEN, "declined")])
def test_a_worker_times_what_it_is_asked_for_or_declines(tmp_path: Path, broken: str, file: str) -> None:
    split = make_split(6)
    WaitingWorkers(tmp_path).ask(split, split, [[make_configuration("mlnn")]], "float32")
    run(broken + ASK, XDG_CACHE_HOME=str(tmp_path / "cache"), **{FOLDER: str(tmp_path)})
    assert (tmp_path / file).exists()


@pytest.mark.parametrize(("variables", "threads"), [({}, "1"), ({"OMP_NUM_THREADS": "2"}, "2")])
def test_a_worker_has_one_thread_unless_told_otherwise(variables: dict[str, str], threads: str) -> None:
    assert run(ASK + "; import torch; print(torch.get_num_threads())", **variables) == ["True", threads]
