"""The stopping rule behind Tune's scheduler interface."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bloodtune.space.recipe import Asha
from bloodtune.tuning.asha import CappedHalving
from bloodtune.tuning.tune_scheduler import RuleScheduler

ASHA = Asha(max_epochs=27, first_rung=1, reduction_factor=3)


@pytest.fixture
def live() -> dict[int, Any]:
    return {number: SimpleNamespace(stopped="") for number in range(3)}


@pytest.fixture
def scheduler(live: dict[int, Any]) -> RuleScheduler:
    return RuleScheduler(CappedHalving(ASHA), SimpleNamespace(live=live))  # type: ignore[arg-type]


def trial(number: int, status: str = "RUNNING") -> SimpleNamespace:
    return SimpleNamespace(config={"trial": number}, status=status)


def test_the_rule_decides_and_the_queue_learns_why(scheduler: RuleScheduler, live: dict[int, Any]) -> None:
    values = (0.5, 0.4, 0.6)
    answers = [
        scheduler.on_trial_result(None, trial(number), {"epoch": 1, "val_macro_f1": value})
        for number, value in enumerate(values)
    ]
    assert answers == ["CONTINUE", "STOP", "CONTINUE"]
    assert [one.stopped for one in live.values()] == ["", "epoch 1: 0.4000 is number 2 of 2, top 1 promoted", ""]


def test_a_report_without_a_score_is_not_decided_on(scheduler: RuleScheduler) -> None:
    assert scheduler.on_trial_result(None, trial(0), {"done": True, "failure": "loss is nan"}) == "CONTINUE"


def test_a_free_worker_goes_to_the_newest_trial_that_waits(scheduler: RuleScheduler) -> None:
    waiting = trial(7, "PENDING")
    trials = [trial(9), waiting, trial(2, "PENDING")]
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=lambda: trials)) is waiting
    assert scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=list)) is None
