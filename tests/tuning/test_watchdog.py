"""When a worker is given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bloodtune.tuning import watchdog
from bloodtune.tuning.watchdog import Watchdog


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    killed: list[str] = []
    monkeypatch.setattr(watchdog.ray, "kill", killed.append)
    return killed


def make_trials(*names: str) -> tuple[list[Any], dict[str, Any]]:
    trials = [
        SimpleNamespace(trial_id=n, config={"trial": n}, temporary_state=SimpleNamespace(ray_actor=f"actor {n}"))
        for n in names
    ]
    return trials, {name: SimpleNamespace(overdue="") for name in names}


def test_the_worker_of_a_trial_that_reports_no_more_is_killed_once(clock: Clock, killed: list[str]) -> None:
    trials, live = make_trials("a", "b")
    dog = Watchdog(live, limit=60.0)
    for trial in trials:
        dog.on_trial_start(0, trials, trial)
    clock.now += 50
    dog.on_trial_result(1, trials, trials[1], {})
    clock.now += 20
    for _ in range(3):
        dog.on_step_end(2, trials)
        clock.now += 2
    assert killed == ["actor a"]
    assert live["a"].overdue == "an epoch took longer than --epoch-limit, 60 s"
    assert live["b"].overdue == ""


def test_a_trial_that_has_ended_or_waits_for_its_worker_is_not_overdue(clock: Clock, killed: list[str]) -> None:
    trials, live = make_trials("ended", "failed", "waiting")
    dog = Watchdog(live, limit=60.0)
    for trial in trials[:2]:
        dog.on_trial_start(0, trials, trial)
    dog.on_trial_complete(1, trials, trials[0])
    dog.on_trial_error(1, trials, trials[1])
    clock.now += 1000
    dog.on_step_end(2, trials)
    assert killed == []
