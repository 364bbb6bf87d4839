"""The queue's decisions behind Tune's scheduler interface."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bloodtune.tuning.asha import CONTINUE, PAUSE, STOP
from bloodtune.tuning.tune_scheduler import QueueScheduler


class DecidingQueue:
    """Gives verdicts in their order, and keeps what it was asked."""

    def __init__(self, *verdicts: str) -> None:
        self.asked: list[Any] = []
        self._verdicts = iter(verdicts)

    def decide(self, *asked: Any) -> str:
        self.asked.append(asked)
        return next(self._verdicts)


def trial(number: int, status: str = "RUNNING", turn: int = 0) -> SimpleNamespace:
    return SimpleNamespace(config={"trial": number, "turn": turn}, status=status)


def test_a_trial_that_pauses_or_is_pruned_ends_for_tune() -> None:
    queue = DecidingQueue(CONTINUE, PAUSE, STOP)
    scheduler = QueueScheduler(queue)  # type: ignore[arg-type]
    report = {"epoch": 3, "val_macro_f1": 0.5}
    answers = [scheduler.on_trial_result(None, trial(number), report) for number in range(3)]
    assert answers == ["CONTINUE", "STOP", "STOP"]
    assert queue.asked == [(number, 3, 0.5) for number in range(3)]


def test_a_report_without_a_score_is_not_decided_on() -> None:
    scheduler = QueueScheduler(DecidingQueue())  # type: ignore[arg-type]
    assert scheduler.on_trial_result(None, trial(0), {"done": True, "failure": "loss is nan"}) == "CONTINUE"


def test_a_free_worker_goes_to_the_trial_that_was_added_last() -> None:
    scheduler = QueueScheduler(DecidingQueue())  # type: ignore[arg-type]
    waiting = trial(2, "PENDING", turn=8)
    trials = [trial(9, turn=9), waiting, trial(7, "PENDING", turn=7)]
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=lambda: trials)) is waiting, (
        "trial 2 goes on after a pause, so its number is low"
    )
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=list)) is None
