"""A run directory in the tools that people have: TensorBoard and optuna-dashboard open it as it is."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bloodtune.monitoring.trackers import Trackers
from bloodtune.run.directory import RunDirectory
from bloodtune.tuning.recorder import TrackerRecorder
from run_fixtures import make_searcher, report

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Give a run with two finished trials, written as a search writes it."""
    searcher = make_searcher(tmp_path_factory.mktemp("runs"))
    trackers = Trackers(searcher.run, [], print)
    searcher.recorders.append(TrackerRecorder(trackers))
    for trial, score in (("a", 0.5), ("b", 0.75)):
        searcher.suggest(trial)
        searcher.on_trial_complete(trial, report([1, 2, 3], score))
    trackers.close()
    return searcher.run


@contextmanager
def served(*command: str) -> Iterator[str]:
    """Start a server on a free port, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
    server = subprocess.Popen([program, *command[1:], "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def ask(address: str, content: dict[str, Any] | None = None) -> Any:
    """Return what a server answers, once it is up."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(150):
        try:
            with opener.open(request, timeout=5) as answer:
                found = json.load(answer)
            if found:
                return found
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"{address} does not answer")


def test_tensorboard_shows_curves_and_hyperparameters(run: RunDirectory) -> None:
    with served("tensorboard", "--logdir", str(run.path)) as address:
        tags = ask(f"{address}/data/plugin/scalars/tags")
        assert set(tags) == {"tensorboard/trial-0000", "tensorboard/trial-0001"}
        points = ask(f"{address}/data/plugin/scalars/scalars?run=tensorboard/trial-0001&tag=val/macro_f1")
        assert [step for _, step, _ in points] == [1, 2, 3]
        states = [f"STATUS_{name}" for name in ("SUCCESS", "FAILURE", "RUNNING", "UNKNOWN")]
        asked = {"experimentName": "", "allowedStatuses": states, "colParams": [], "startIndex": 0, "sliceSize": 9}
        groups = ask(f"{address}/data/plugin/hparams/session_groups", asked)["sessionGroups"]
        assert {group["hparams"]["family"] for group in groups} <= {"mlnn", "cnn"}
        assert len(groups) == 2


def test_optuna_dashboard_shows_the_study(run: RunDirectory) -> None:
    with served("optuna-dashboard", f"{run.path}/study.journal") as address:
        (study,) = ask(f"{address}/api/studies")["study_summaries"]
        assert study["study_name"] == run.name
        trials = ask(f"{address}/api/studies/{study['study_id']}")["trials"]
        assert [trial["state"] for trial in trials] == ["Complete", "Complete"]
        assert [len(trial["intermediate_values"]) for trial in trials] == [3, 3]
