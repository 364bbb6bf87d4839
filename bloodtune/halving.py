"""The scheduler that Ray Tune asks after each report: ASHA's stopping rule, held to its share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler

from bloodtune.recipe import Asha
from bloodtune.searcher import OBJECTIVE


class HeldHalving(FIFOScheduler):  # type: ignore[misc]
    """Asynchronous successive halving that stops trials and never pauses one (Li et al. 2020, in its stopping form).

    At a rung a trial goes on if its value is among the best 1 / ``reduction_factor`` of those that reached the rung
    so far. Ray's own ASHA asks no more; but where a sampler's proposals get better nearly each one beats those before
    it, and most of a search goes into trials of equal worth (docs/experiments.md). So one goes on here
    only while fewer than that share of the rung's trials, and one more, have gone on, or if it is better than all.
    """

    def __init__(self, asha: Asha, recorded: Mapping[int, Iterable[tuple[float, bool]]]) -> None:
        """Start from what earlier trials had at each rung: their value, and whether they went on."""
        super().__init__()
        self._share = 1 / asha.reduction_factor
        self._values: dict[int, list[float]] = {}
        self._gone_on: dict[int, int] = {}
        for rung in asha.rungs:
            earlier = list(recorded.get(rung, ()))
            self._values[rung] = [value for value, _ in earlier]
            self._gone_on[rung] = sum(went_on for _, went_on in earlier)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Say whether the trial goes on; a worker reports at every rung."""
        rung = result.get("epoch")
        if rung not in self._values:
            return str(self.CONTINUE)
        goes_on = self._goes_on(rung, result[OBJECTIVE])
        self._values[rung].append(result[OBJECTIVE])
        self._gone_on[rung] += goes_on
        return str(self.CONTINUE if goes_on else self.STOP)

    def _goes_on(self, rung: int, value: float) -> bool:
        earlier = self._values[rung]
        if all(other < value for other in earlier):
            return True
        share = (len(earlier) + 1) * self._share
        better = sum(other > value for other in earlier)
        return better < math.ceil(share) and self._gone_on[rung] < 1 + share
