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

    ``max_epochs`` is the paper's R, ``first_rung`` its r and ``reduction_factor`` its eta. Learning rates fall until
    ``max_epochs``. A search ends its trials at ``last_rung``, if that is given: the best are trained again afterwards.

    Raises:
        InputError: a value is not a whole number in its range, or a rung is above the last one or above ``max_epochs``.
    """

    max_epochs: int
    first_rung: int
    reduction_factor: int
    last_rung: int | None = None

    def __post_init__(self) -> None:
        for name, low in (("max_epochs", 1), ("first_rung", 1), ("reduction_factor", 2), ("last_rung", 1)):
            value = getattr(self, name)
            if not is_whole(value, low) and not (name == "last_rung" and value is None):
                raise InputError(f"asha.{name} = {value!r}: allowed are whole numbers from {low}")
        if self.last_epoch > self.max_epochs:
            raise InputError(f"asha.last_rung = {self.last_rung} is above max_epochs = {self.max_epochs}")
        if self.first_rung > self.last_epoch:
            name = "last_rung" if self.last_rung else "max_epochs"
            raise InputError(f"asha.first_rung = {self.first_rung} is above {name} = {self.last_epoch}")

    @property
    def last_epoch(self) -> int:
        """The epoch after which a trial of a search is COMPLETE."""
        return self.last_rung or self.max_epochs

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which a trial may pause or be pruned; empty if ``first_rung`` is the last epoch."""
        rungs, epoch = [], self.first_rung
        while epoch < self.last_epoch:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Epoch 0, the rungs and the last epoch: a trial trains from one to the next without a decision."""
        return (0, *self.rungs, self.last_epoch)

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

    def to_mapping(self) -> dict[str, int]:
        """Return the table of a recipe."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def with_max_epochs(self, max_epochs: int) -> Asha:
        """Return a copy with another ``max_epochs``. If it pruned no trial before, it prunes none afterwards."""
        first_rung = min(self.first_rung, max_epochs) if self.rungs or self.last_rung else max_epochs
        last_rung = self.last_rung and min(self.last_rung, max_epochs)
        return Asha(max_epochs, first_rung, self.reduction_factor, last_rung)


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
