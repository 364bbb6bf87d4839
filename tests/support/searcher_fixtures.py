"""A searcher driven by a test in the place of Tune: trials that finish, reach a rung or meet a full disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.directory import RunDirectory
from bloodtune.tuning.asha import CONTINUE
from run_fixtures import DrivenSearcher, report
from study_fixtures import load_study


def finish(searcher: DrivenSearcher, trial_id: str, score: float = 0.5) -> None:
    searcher.on_trial_complete(trial_id, report([1, 2, 3], score))


def stored(searcher: DrivenSearcher) -> list[optuna.trial.FrozenTrial]:
    return load_study(searcher.run.path / "study.journal", searcher.run.name).trials


def propose_all(searcher: DrivenSearcher) -> list[dict[str, Any]]:
    proposals = []
    while isinstance(proposal := searcher.suggest(f"t{len(proposals)}"), dict):
        proposals.append(proposal)
        finish(searcher, f"t{len(proposals) - 1}", 0.1 * len(proposals))
    return proposals


def reach_rung(searcher: DrivenSearcher, trial_id: str, score: float, model: ModelFiles | None = None) -> str:
    """Report a trial at the rung, and do as Tune does with the queue's decision."""
    number = searcher._numbers[trial_id]
    verdict = searcher.queue.decide(number, 1, score)
    at_rung = report([1], score, checkpoint=Checkpoint(1, b"state", 10), model=model)
    if verdict == CONTINUE:
        searcher.on_trial_result(trial_id, at_rung)
    else:
        searcher.on_trial_complete(trial_id, at_rung)
    return verdict


@contextlib.contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, method: str) -> Iterator[None]:
    """Let a method of run directories fail, as on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, method, full)
        yield
