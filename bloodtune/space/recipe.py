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

    ``max_epochs`` is the paper's R, ``first_rung`` its r and ``reduction_factor`` its eta, one for all rungs or, with
    ``rungs``, a tuple with one for each. Learning rates fall until ``max_epochs``. A search ends its trials at
    ``last_rung``, if that is given: the best are trained again afterwards. ``rungs`` are the epochs after which a trial
    may pause or be pruned. With a ``first_rung`` they follow from it: each later one comes ``reduction_factor`` times
    later, and all lie before the last epoch.

    Raises:
        InputError: a value is not a whole number in its range, a rung is above the last one or above ``max_epochs``, or
            there is not one factor for each rung.
    """

    max_epochs: int
    first_rung: int | None
    reduction_factor: int | tuple[int, ...]
    last_rung: int | None = None
    rungs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("max_epochs", 1), ("first_rung", 1), ("last_rung", 1)):
            value = getattr(self, name)
            if not is_whole(value, low) and not (name.endswith("_rung") and value is None):
                raise InputError(f"asha.{name} = {value!r}: allowed are whole numbers from {low}")
        if self.last_epoch > self.max_epochs:
            raise InputError(f"asha.last_rung = {self.last_rung} is above max_epochs = {self.max_epochs}")
        if self.first_rung is None:
            self._check_rungs()
            self._check_factors()
            return
        factor = self.reduction_factor
        if isinstance(factor, tuple) or not is_whole(factor, 2):
            lists = ", and a list with rungs" if isinstance(factor, tuple) else ""
            raise InputError(f"asha.reduction_factor = {_shown(factor)}: allowed are whole numbers from 2{lists}")
        if self.first_rung > self.last_epoch:
            name = "last_rung" if self.last_rung else "max_epochs"
            raise InputError(f"asha.first_rung = {self.first_rung} is above {name} = {self.last_epoch}")
        powers = (self.first_rung * factor**power for power in itertools.count())
        rungs = tuple(itertools.takewhile(lambda rung: rung < self.last_epoch, powers))
        object.__setattr__(self, "rungs", rungs)

    def _check_rungs(self) -> None:
        are_whole = isinstance(self.rungs, tuple) and all(is_whole(rung, 1) for rung in self.rungs)
        if (
            not self.rungs
            or not are_whole
            or any(low >= high for low, high in itertools.pairwise((*self.rungs, self.last_epoch)))
        ):
            name = "last_rung" if self.last_rung else "max_epochs"
            allowed = f"rising epochs below {name} = {self.last_epoch}"
            raise InputError(f"asha.rungs = {_shown(self.rungs)}: allowed are {allowed}")

    def _check_factors(self) -> None:
        are_whole = all(is_whole(factor, 2) for factor in self.factors)
        if not are_whole or len(self.factors) != len(self.rungs):
            allowed = f"a whole number from 2, or a list with one for each of {len(self.rungs)} rungs"
            raise InputError(f"asha.reduction_factor = {_shown(self.reduction_factor)}: allowed is {allowed}")

    @property
    def factors(self) -> tuple[int, ...]:
        """The reduction factor of each rung."""
        given = self.reduction_factor
        return given if isinstance(given, tuple) else (given,) * len(self.rungs)

    @property
    def last_epoch(self) -> int:
        """The epoch after which a trial of a search is COMPLETE."""
        return self.last_rung or self.max_epochs

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Epoch 0, the rungs and the last epoch: a trial trains from one to the next without a decision."""
        return (0, *self.rungs, self.last_epoch)

    def expected_trials(self, budget: int, epochs: Sequence[int] = ()) -> list[int]:
        """Return how many of ``budget`` trials are expected to train beyond epoch 0 and beyond each rung.

        ``epochs`` are those of the trials so far. At each rung a share of 1 / its factor goes on, at least one.
        If more have gone on, the share holds for those that are still to reach the rung.
        """
        expected = [budget]
        for rung, factor in zip(self.rungs, self.factors, strict=True):
            below = expected[-1]
            coming = max(0, below - sum(epoch >= rung for epoch in epochs))
            gone_on = sum(epoch > rung for epoch in epochs)
            places = max(below // factor, gone_on + coming // factor)
            expected.append(max(places, min(below, 1)))
        return expected

    def expected_epochs(self, budget: int, epochs: Sequence[int] = ()) -> int:
        """Return the epochs of ``budget`` trials, from the epochs of the trials so far."""
        lengths = (end - start for start, end in itertools.pairwise(self.stage_ends))
        return sum(map(operator.mul, self.expected_trials(budget, epochs), lengths))

    def to_mapping(self) -> dict[str, Any]:
        """Return the table of a recipe."""
        given = dataclasses.asdict(self) | {"rungs": None if self.first_rung else self.rungs}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }

    def with_max_epochs(self, max_epochs: int) -> Asha:
        """Return a copy with another ``max_epochs``. If it pruned no trial before, it prunes none afterwards."""
        last_rung = self.last_rung and min(self.last_rung, max_epochs)
        rungs = tuple(rung for rung in self.rungs if rung < (last_rung or max_epochs))
        factor = self.reduction_factor
        if self.first_rung is None and rungs:
            factor = factor[: len(rungs)] if isinstance(factor, tuple) else factor
            return Asha(max_epochs, None, factor, last_rung, rungs)
        first_rung = min(self.first_rung or max_epochs, max_epochs) if self.rungs or self.last_rung else max_epochs
        return Asha(max_epochs, first_rung, factor[0] if isinstance(factor, tuple) else factor, last_rung)


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


def _shown(value: Any) -> str:
    # As in the file, where a tuple is a list.
    return repr(list(value) if isinstance(value, tuple) else value)


def is_whole(value: Any, low: int) -> bool:
    """Return whether a value is a whole number of at least ``low``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
