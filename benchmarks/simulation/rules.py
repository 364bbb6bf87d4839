"""Stopping rules that pause no trial: the product's former one, Ray's ASHA, and none."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence

from bloodtune.space.recipe import Asha
from bloodtune.tuning.asha import CONTINUE, STOP

# Share of a rung's trials that CappedHalving promotes at most.
PROMOTION_CAP = 0.4


class Rungs:
    """Rungs that all trials share; a trial after the last rung reports at the last epoch."""

    def __init__(self, rungs: tuple[int, ...], max_epochs: int) -> None:
        self.rungs = rungs
        self.max_epochs = max_epochs

    def next_rung(self, number: int, epoch: int) -> int:
        """Return the next rung after ``epoch``."""
        return next((rung for rung in self.rungs if rung > epoch), self.max_epochs)

    def resume(self, *, is_last: bool = False) -> int | None:
        """Return None: nothing is paused."""
        return None

    def dismiss(self, *, is_last: bool = False) -> Sequence[tuple[int, str]]:
        """Return nothing: paused trials wait until the end."""
        return ()


class ToTheEnd(Rungs):
    """Every trial is trained to the last epoch."""

    def __init__(self, asha: Asha) -> None:
        super().__init__((), asha.max_epochs)

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Let the trial go on."""
        return CONTINUE, ""


class CappedHalving(Rungs):
    """The product's rule until commit f7a172a: halving that prunes trials and never pauses them.

    At a rung a trial is promoted if its value is among the best 1 / ``reduction_factor`` of the trials that reached
    the rung so far. Plain ASHA checks no more than that. Once a sampler improves, each new trial beats its predecessors
    and nearly all are promoted (docs/experiments.md). So promotions are capped: a trial is promoted only while fewer
    than ``PROMOTION_CAP`` of the rung's trials plus one have been promoted, or if it beats all of them. The first
    ``enqueued`` trials do not count against the cap: they reach the rungs while nothing better is known.
    """

    def __init__(self, asha: Asha, *, enqueued: int = 0) -> None:
        super().__init__(asha.rungs, asha.max_epochs)
        self._factor = asha.reduction_factor
        self._enqueued = enqueued
        self._decided: dict[int, dict[int, tuple[float, bool]]] = {rung: {} for rung in asha.rungs}

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Continue with the trial, or prune it with the reason."""
        reason = self._reason_to_stop(epoch, value)
        self._decided[epoch][number] = value, not reason
        return (STOP, reason) if reason else (CONTINUE, "")

    def _reason_to_stop(self, rung: int, value: float) -> str:
        # An empty string if the trial is promoted.
        decided = self._decided[rung]
        values = [other for other, _ in decided.values()]
        if all(other < value for other in values):
            return ""
        reached, rank = len(values) + 1, 1 + sum(other > value for other in values)
        places = math.ceil(reached / self._factor)
        if rank > places:
            return f"epoch {rung}: {value:.4f} is number {rank} of {reached}, top {places} promoted"
        if not self._has_room(decided):
            best = max(values)
            return f"epoch {rung}: {value:.4f} is not above the best, {best:.4f}, and {PROMOTION_CAP:.0%} were promoted"
        return ""

    def _has_room(self, decided: Mapping[int, tuple[float, bool]]) -> bool:
        promoted = sum(was_promoted for number, (_, was_promoted) in decided.items() if number >= self._enqueued)
        return promoted < 1 + (len(decided) + 1) * PROMOTION_CAP


class RayAsha(Rungs):
    """Ray's ASHAScheduler: a trial stops below the 1 - 1 / factor quantile of the values before it at its rung."""

    def __init__(self, asha: Asha) -> None:
        super().__init__(asha.rungs, asha.max_epochs)
        self._share = 1 - 1 / asha.reduction_factor
        self._values: dict[int, list[float]] = {rung: [] for rung in asha.rungs}

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Compare with the quantile, which is interpolated linearly, as in ``numpy.nanpercentile``."""
        values = self._values[epoch]
        is_below = False
        if values:
            place = self._share * (len(values) - 1)
            low = int(place)
            high = min(low + 1, len(values) - 1)
            is_below = value < values[low] + (place - low) * (values[high] - values[low])
        bisect.insort(values, value)
        return (STOP, f"below the best third at epoch {epoch}") if is_below else (CONTINUE, "")
