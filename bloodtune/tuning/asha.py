"""The scheduler that Ray Tune asks after each report: ASHA's stopping rule, held to its share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from bloodtune.run.records import OBJECTIVE
from bloodtune.space.recipe import Asha

HELD_SHARE = 0.4


class HeldHalving(FIFOScheduler):  # type: ignore[misc]
    """Asynchronous successive halving that stops trials and never pauses one (Li et al. 2020, in its stopping form).

    At a rung a trial goes on if its value is among the best 1 / ``reduction_factor`` of those that reached the rung
    so far. Ray's own ASHA asks no more; but where a sampler's proposals get better nearly each one beats those before
    it, and most of a search goes into trials of equal worth (docs/experiments.md). So one goes on here only while
    fewer than ``HELD_SHARE`` of the rung's trials, and one more, have gone on, or if it is better than all. The first
    ``enqueued`` trials, which go on where nothing better is known yet, take no place from those that are sampled.
    """

    def __init__(
        self, asha: Asha, recorded: Mapping[int, Mapping[int, tuple[float, bool]]], *, enqueued: int = 0
    ) -> None:
        """Start from what earlier trials had at each rung, by their number: their value, and whether they went on."""
        super().__init__()
        self._share = 1 / asha.reduction_factor
        self._enqueued = enqueued
        self._decided = {rung: dict(recorded.get(rung, {})) for rung in asha.rungs}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Say whether the trial goes on; a worker reports at every rung, and again in a trial that was retried."""
        decided = self._decided.get(result.get("epoch", 0))
        if decided is None:
            return str(self.CONTINUE)
        number, value = trial.config["trial"], result[OBJECTIVE]
        if number not in decided:
            decided[number] = value, self._goes_on(decided, value)
        return str(self.CONTINUE if decided[number][1] else self.STOP)

    def needed(self) -> dict[int, float]:
        """Return the value above which the next trial goes on from a rung, where that is known already."""
        found = {}
        for rung, decided in self._decided.items():
            before = dict(decided)  # another thread may ask while a trial is decided on
            values = sorted((value for value, _ in before.values()), reverse=True)
            places = math.ceil((len(values) + 1) * self._share) if self._has_room(before) else 1
            if len(values) >= places:
                found[rung] = values[places - 1]
        return found

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """Give a free worker to the newest trial that waits; an older one has a worker of its own under way.

        In the order of their submission, as Tune does it, the older one would take the free worker and give up its own:
        where trials are shorter than a worker's start, a worker that has died would never be replaced.
        """
        waiting = (trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING)
        return max(waiting, key=lambda trial: trial.config["trial"], default=None)

    def _goes_on(self, decided: Mapping[int, tuple[float, bool]], value: float) -> bool:
        if all(other < value for other, _ in decided.values()):
            return True
        reached = len(decided) + 1
        better = sum(other > value for other, _ in decided.values())
        return better < math.ceil(reached * self._share) and self._has_room(decided)

    def _has_room(self, decided: Mapping[int, tuple[float, bool]]) -> bool:
        gone_on = sum(went_on for number, (_, went_on) in decided.items() if number >= self._enqueued)
        return gone_on < 1 + (len(decided) + 1) * HELD_SHARE
