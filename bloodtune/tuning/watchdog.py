"""The watchdog of workers: a trial that takes too long for one epoch fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.tune import Callback

from bloodtune.tuning.live_trial import LiveTrial
from bloodtune.tuning.ray_patches import actor_of

CHECK_SECONDS = 1.0


class Watchdog(Callback):  # type: ignore[misc]
    """Kill the worker of a trial that has not reported for ``limit`` seconds; the trial fails.

    A worker reports after each epoch, or every two seconds where epochs are shorter.
    """

    def __init__(self, live: Mapping[int, LiveTrial], limit: float) -> None:
        self._live = live
        self._limit = limit
        self._last_report: dict[str, float] = {}
        self._next_check = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note when a worker starts the trial."""
        self._last_report[trial.trial_id] = time.monotonic()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """Note when the trial reports."""
        self._last_report[trial.trial_id] = time.monotonic()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget the trial."""
        self._last_report.pop(trial.trial_id, None)

    on_trial_error = on_trial_complete

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill overdue workers."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        overdue = {trial for trial, reported in self._last_report.items() if now - reported > self._limit}
        for trial in (trial for trial in trials if trial.trial_id in overdue):
            del self._last_report[trial.trial_id]
            self._live[trial.config["trial"]].overdue = f"an epoch took longer than --epoch-limit, {self._limit:g} s"
            if actor := actor_of(trial):
                ray.kill(actor)
