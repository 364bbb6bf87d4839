"""ASHA's stopping rule with capped promotions: which trials are promoted at a rung, and why the others are pruned."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bloodtune.space.recipe import Asha

# Share of a rung's trials that are promoted at most.
PROMOTION_CAP = 0.4


class CappedHalving:
    """Asynchronous successive halving that prunes trials and never pauses them (Li et al. 2020, stopping form).

    At a rung a trial is promoted if its value is among the best 1 / ``reduction_factor`` of the trials that reached
    the rung so far. Plain ASHA checks no more than that. Once a sampler improves, each new trial beats its predecessors
    and nearly all are promoted (docs/experiments.md). So promotions are capped: a trial is promoted only while fewer
    than ``PROMOTION_CAP`` of the rung's trials plus one have been promoted, or if it beats all of them. The first
    ``enqueued`` trials do not count against the cap: they reach the rungs while nothing better is known.
    """

    def __init__(
        self, asha: Asha, recorded: Mapping[int, Mapping[int, tuple[float, bool]]] | None = None, *, enqueued: int = 0
    ) -> None:
        """Start from earlier trials: per rung and trial number, the value and whether the trial was promoted."""
        self._factor = asha.reduction_factor
        self._enqueued = enqueued
        self._decided = {rung: dict((recorded or {}).get(rung, {})) for rung in asha.rungs}
        self._reasons: dict[tuple[int, int], str] = {}

    def decide(self, number: int, epoch: int, value: float) -> tuple[bool, str]:
        """Return whether to prune a trial after ``epoch`` with the objective ``value``, and the reason if so.

        No trial is pruned between rungs. A retried trial gets the same decision at a rung again.
        """
        decided = self._decided.get(epoch)
        if decided is None:
            return False, ""
        if number not in decided:
            reason = self._reason_to_stop(epoch, value)
            decided[number] = value, not reason
            if reason:
                self._reasons[number, epoch] = reason
        is_promoted = decided[number][1]
        return (False, "") if is_promoted else (True, self._reasons.get((number, epoch), f"pruned at epoch {epoch}"))

    def needed(self) -> dict[int, float]:
        """Return, per rung, the value that the next trial has to beat, where enough trials have reached the rung."""
        found = {}
        for rung, decided in self._decided.items():
            before = dict(decided)  # another thread may read while a trial is decided on
            values = sorted((value for value, _ in before.values()), reverse=True)
            places = math.ceil((len(values) + 1) / self._factor) if self._has_room(before) else 1
            if len(values) >= places:
                found[rung] = values[places - 1]
        return found

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
