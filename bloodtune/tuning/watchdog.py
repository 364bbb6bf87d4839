"""Workers that hang: a trial that takes too long for an epoch is failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.tune import Callback

from bloodtune.tuning.ray_patches import actor_of
from bloodtune.tuning.trial_queue import LiveTrial

CHECK_SECONDS = 1.0


class Watchdog(Callback):  # type: ignore[misc]
    """Kill the worker of a trial that has not reported for ``limit`` seconds, so that the trial is failed.

    A worker reports after each epoch, or sooner than that every other second.
    """

    def __init__(self, live: Mapping[int, LiveTrial], limit: float) -> None:
        self._live = live
        self._limit = limit
        self._heard: dict[str, float] = {}
        self._next_check = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Hear that a worker has begun with the trial."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """Hear of the trial."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Expect nothing more."""
        self._heard.pop(trial.trial_id, None)

    on_trial_error = on_trial_complete

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill the workers that are overdue."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        overdue = {trial for trial, heard in self._heard.items() if now - heard > self._limit}
        for trial in (trial for trial in trials if trial.trial_id in overdue):
            del self._heard[trial.trial_id]
            self._live[trial.config["trial"]].overdue = f"an epoch took longer than {self._limit:g} s, the limit"
            if actor := actor_of(trial):
                ray.kill(actor)
