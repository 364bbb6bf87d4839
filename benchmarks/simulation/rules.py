"""Stopping rules that pause no trial: Ray's ASHA, and none."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from bloodtune.space.recipe import Asha
from bloodtune.tuning.asha import CONTINUE, STOP


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


class RayAsha(Rungs):
    """Ray's ASHAScheduler: a trial stops below the 1 - 1 / factor quantile of the values before it at its rung."""

    def __init__(self, asha: Asha) -> None:
        super().__init__(asha.rungs, asha.max_epochs)
        self._share = {rung: 1 - 1 / factor for rung, factor in zip(asha.rungs, asha.factors, strict=True)}
        self._values: dict[int, list[float]] = {rung: [] for rung in asha.rungs}

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Compare with the quantile, which is interpolated linearly, as in ``numpy.nanpercentile``."""
        values = self._values[epoch]
        is_below = False
        if values:
            place = self._share[epoch] * (len(values) - 1)
            low = int(place)
            high = min(low + 1, len(values) - 1)
            is_below = value < values[low] + (place - low) * (values[high] - values[low])
        bisect.insort(values, value)
        return (STOP, f"below the best third at epoch {epoch}") if is_below else (CONTINUE, "")
