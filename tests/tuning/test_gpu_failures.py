"""A GPU that fails within a trial: its recorded steps cost speed, never the trial. The GPU is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bloodtune.run.records import FAILED
from bloodtune.training.trainer import Training
from run_fixtures import make_searcher, report
from worker_fixtures import config, make_worker


@pytest.mark.parametrize("records", [True, False])
def test_a_trial_whose_recorded_steps_may_have_failed_is_retried(
    monkeypatch: pytest.MonkeyPatch, records: bool
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    worker = make_worker()
    worker.reset_config(config() | {"record_steps": records})
    monkeypatch.setattr(Training, "run_epoch", explode)
    worker._device = "cuda"
    told = worker.step()
    assert (told["done"], told["retry"]) == (True, records)


def test_a_retried_trial_runs_its_steps_as_they_are(tmp_path: Path) -> None:
    searcher, failure = make_searcher(tmp_path), {"failure": "RuntimeError: CUDA error", "retry": True}
    first = searcher.suggest("a")
    assert isinstance(first, dict) and first["record_steps"]
    searcher.on_trial_complete("a", report([1], 0.5) | failure)
    assert searcher.run.trials() == []
    again = searcher.suggest("b")
    assert isinstance(again, dict)
    assert (again["trial"], again["record_steps"]) == (0, False)
    searcher.on_trial_complete("b", report([], 0.5) | failure | {"retry": False})
    (record,) = searcher.run.trials()
    assert (record.state, record.message, record.retries) == (FAILED, "RuntimeError: CUDA error", 1)


def test_a_note_of_the_workers_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = make_searcher(tmp_path)
    for trial_id in "ab":
        searcher.suggest(trial_id)
        searcher.on_trial_result(trial_id, report([1], 0.5, note="steps run as they are"))
        searcher.on_trial_complete(trial_id, report([2, 3], 0.5, note="steps run as they are"))
    assert capsys.readouterr().err.splitlines() == ["steps run as they are"]


def test_a_training_tells_that_its_steps_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder:
        failure = "RuntimeError: no"

        def run(self, function: Any, *arguments: Any) -> None:
            function(*arguments)

    worker = make_worker()
    assert worker.step()["note"] == ""
    assert worker._training is not None
    monkeypatch.setattr(worker._training, "_recorder", Recorder())
    told = "training steps cannot be recorded as a CUDA graph (RuntimeError: no); they run as they are"
    assert worker.step()["note"] == told
