"""Recipe: the search space, the sampler, ASHA's rungs and the configurations to try first."""

from __future__ import annotations

import dataclasses
import itertools
import operator
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from bloodtune.errors import InputError
from bloodtune.space.configuration import Configuration
from bloodtune.space.parameter import Parameter

SAMPLERS = ("tpe", "random", "enqueued")


@dataclass(frozen=True)
class Asha:
    """The settings of ASHA, asynchronous successive halving (Li et al. 2020).

    ``max_epochs`` is the paper's R, ``first_rung`` its r and ``reduction_factor`` its eta.

    Raises:
        InputError: a value is not a whole number in its range, or ``first_rung`` is above ``max_epochs``.
    """

    max_epochs: int
    first_rung: int
    reduction_factor: int

    def __post_init__(self) -> None:
        for name, low in (("max_epochs", 1), ("first_rung", 1), ("reduction_factor", 2)):
            value = getattr(self, name)
            if not is_whole(value, low):
                raise InputError(f"asha.{name} = {value!r}: allowed are whole numbers from {low}")
        if self.first_rung > self.max_epochs:
            raise InputError(f"asha.first_rung = {self.first_rung} is above max_epochs = {self.max_epochs}")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which a trial may be pruned; empty if ``first_rung`` is the last epoch."""
        rungs, epoch = [], self.first_rung
        while epoch < self.max_epochs:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Epoch 0, the rungs and the last epoch: a trial trains from one to the next without a decision."""
        return (0, *self.rungs, self.max_epochs)

    def expected_trials(self, budget: int, epochs: Sequence[int] = ()) -> list[int]:
        """Return how many of ``budget`` trials are expected to train beyond epoch 0 and beyond each rung.

        ``epochs`` are those of the trials so far. One in ``reduction_factor`` of a rung's trials goes on, at least one.
        If more have gone on, the share holds for those that are still to reach the rung.
        """
        expected = [budget]
        for rung in self.rungs:
            below = expected[-1]
            coming = max(0, below - sum(epoch >= rung for epoch in epochs))
            gone_on = sum(epoch > rung for epoch in epochs)
            places = max(below // self.reduction_factor, gone_on + coming // self.reduction_factor)
            expected.append(max(places, min(below, 1)))
        return expected

    def expected_epochs(self, budget: int, epochs: Sequence[int] = ()) -> int:
        """Return the epochs of ``budget`` trials, from the epochs of the trials so far."""
        lengths = (end - start for start, end in itertools.pairwise(self.stage_ends))
        return sum(map(operator.mul, self.expected_trials(budget, epochs), lengths))

    def with_max_epochs(self, max_epochs: int) -> Asha:
        """Return a copy with another last epoch. If it pruned no trial before, it prunes none afterwards."""
        first_rung = min(self.first_rung, max_epochs) if self.rungs else max_epochs
        return Asha(max_epochs, first_rung, self.reduction_factor)


@dataclass(frozen=True)
class Enqueued:
    """A configuration to try before the sampler proposes any. ``epochs`` is the number that the paper gives, if any."""

    label: str
    source: str
    configuration: Configuration
    epochs: int | None = None


@dataclass(frozen=True)
class Recipe:
    """A search space with the sampler, the settings of ASHA and the configurations to try first.

    ``text`` is the recipe in TOML, with the content of all files that it extends and enqueues.
    """

    description: str
    sampler: str
    startup_trials: int
    asha: Asha
    parameters: tuple[Parameter, ...]
    enqueued: tuple[Enqueued, ...]
    text: str


def enqueue_first(recipe: Recipe, entries: Sequence[Enqueued]) -> Recipe:
    """Return a recipe that tries ``entries`` before the configurations that ``recipe`` enqueues."""
    content = tomllib.loads(recipe.text)
    tables = [{"label": e.label, "source": e.source, **e.configuration.to_mapping()} for e in entries]
    content["configuration"] = [*tables, *content.get("configuration", [])]
    return dataclasses.replace(recipe, enqueued=(*entries, *recipe.enqueued), text=tomli_w.dumps(content))


def is_whole(value: Any, low: int) -> bool:
    """Return whether a value is a whole number of at least ``low``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
