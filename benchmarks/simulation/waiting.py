"""Rules that pause trials at rungs and resume the best: the product's own, halving in step, Hyperband, PASHA."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from bloodtune.space.recipe import Asha
from bloodtune.tuning.asha import PAUSE, WaitingHalving
from bloodtune.tuning.trial_queue import TrialQueue
from simulation.rules import Rungs


class SynchronousHalving(Rungs):
    """Successive halving that waits for all trials of a rung (Jamieson & Talwalkar 2016).

    ``places`` says, per rung, how many trials go on. ``trials`` is the number of trials at the first rung.
    """

    def __init__(self, places: Mapping[int, int], trials: int, max_epochs: int) -> None:
        super().__init__(tuple(places), max_epochs)
        self._places = dict(places)
        expected = [trials, *places.values()]
        self._expected = dict(zip(places, expected, strict=False))
        self._values: dict[int, list[tuple[float, int]]] = {rung: [] for rung in places}
        self._waiting: list[int] = []

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Pause the trial; when the rung is full, its best may go on."""
        reached = self._values[epoch]
        reached.append((-value, number))
        if len(reached) == self._expected[epoch]:
            self._waiting += [best for _, best in sorted(reached)[: self._places[epoch]]]
        return PAUSE, f"not among the best {self._places[epoch]} of {self._expected[epoch]} at epoch {epoch}"

    def resume(self, *, is_last: bool = False) -> int | None:
        """Return the best trial that waits."""
        return self._waiting.pop(0) if self._waiting else None


def halving(asha: Asha, trials: int) -> SynchronousHalving:
    """Return halving in step: with 64 trials and factor 3, 21 go on at epoch 1, 7 at epoch 3, 2 at epoch 7."""
    return SynchronousHalving(_places(asha.rungs, asha.factors, trials), trials, asha.max_epochs)


def _places(rungs: Sequence[int], factors: Sequence[int], trials: int) -> dict[int, int]:
    left = itertools.accumulate(factors, lambda count, factor: max(1, count // factor), initial=trials)
    return dict(zip(rungs, itertools.islice(left, 1, None), strict=True))


class Hyperband:
    """Hyperband (Li et al. 2018): brackets of halving in step, from many trials at epoch 1 to few at the last epoch."""

    def __init__(self, asha: Asha, trials: int) -> None:
        self.max_epochs = asha.max_epochs
        self._brackets: list[SynchronousHalving] = []
        self._bracket_of: list[int] = []
        most = len(asha.rungs)
        for s in itertools.cycle(range(most, -1, -1)):
            if len(self._bracket_of) >= trials:
                break
            count = math.ceil((most + 1) / (s + 1) * math.prod(asha.factors[most - s :]))
            count = min(count, trials - len(self._bracket_of))
            rungs = asha.rungs[most - s :]
            places = _places(rungs, asha.factors[most - s :], count)
            self._bracket_of += [len(self._brackets)] * count
            self._brackets.append(SynchronousHalving(places, count, asha.max_epochs))

    def next_rung(self, number: int, epoch: int) -> int:
        """Return the next rung of the trial's bracket."""
        return self._brackets[self._bracket_of[number]].next_rung(number, epoch)

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Ask the trial's bracket."""
        return self._brackets[self._bracket_of[number]].decide(number, epoch, value)

    def resume(self, *, is_last: bool = False) -> int | None:
        """Return a waiting trial of the first bracket that has one."""
        return next((n for bracket in self._brackets if (n := bracket.resume()) is not None), None)

    def dismiss(self, *, is_last: bool = False) -> Sequence[tuple[int, str]]:
        """Return nothing: paused trials wait until the end."""
        return ()


class Waiting(WaitingHalving):
    """The product's rule; it also says where the rungs are."""

    def __init__(self, asha: Asha, *, is_capped: bool = False) -> None:
        super().__init__(asha.rungs, asha.factors, is_capped=is_capped)
        self.next_rung = Rungs(asha.rungs, asha.last_epoch).next_rung


class Pasha(Waiting):
    """PASHA (Bohdal et al. 2023): the highest rung rises only while the ranks at the two top rungs disagree.

    Two trials disagree if their order changes between the two rungs and their values at the upper one differ by more
    than the noise: the 90th percentile of the differences of pairs whose curves cross at least twice.
    """

    def __init__(self, asha: Asha, queue: TrialQueue) -> None:
        super().__init__(asha)
        self._queue = queue
        self._all = asha.rungs
        self.rungs = self._all[:1]

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Pause the trial; open the next rung if the ranks are not stable."""
        verdict = super().decide(number, epoch, value)
        top = len(self.rungs)  # index of the highest rung so far: trials pause there for good
        if top < len(self._all) and epoch == self._all[top] and not self._is_stable(self._all[top - 1], epoch):
            self.rungs = self._all[: top + 1]
        return verdict

    def _is_stable(self, lower: int, upper: int) -> bool:
        known = self._queue.live | self._queue.paused
        curves = [[e.val_macro_f1 for e in known[n].epochs] for _, n in self._reached[upper]]
        noise, swaps = [], []
        for one, other in itertools.combinations(curves, 2):
            signs = [a > b for a, b in zip(one[:upper], other[:upper], strict=True)]
            difference = abs(one[upper - 1] - other[upper - 1])
            if sum(a != b for a, b in itertools.pairwise(signs)) >= 2:
                noise.append(difference)
            if signs[lower - 1] != signs[upper - 1]:
                swaps.append(difference)
        threshold = sorted(noise)[int(0.9 * (len(noise) - 1))] if noise else 0.0
        return all(difference <= threshold for difference in swaps)
