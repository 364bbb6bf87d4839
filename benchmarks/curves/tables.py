"""Table of learning curves of one task: a search space, a pool of random configurations, and a curve for any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Recipe
from bloodtune.tuning.sampler import Space, StudySampler
from curves.surrogate import Answers, Surrogate

LAST_EPOCH = 27  # of every curve
LATE_EPOCHS = 3  # the true quality is the mean over this many last epochs
POOL = 3000  # random configurations per task


@dataclass(frozen=True, eq=False)
class Curve:
    """The trainings of one configuration.

    A value is the negative error, so that higher is better. ``epochs`` is the training that a search sees, ``again``
    has the values at the last epoch of trainings with other seeds, ``truth`` is the value without noise.
    """

    epochs: tuple[EpochRecord, ...]
    again: tuple[float, ...]
    truth: float


class Table:
    """The learning curves of one task.

    ``collection`` and ``task`` are its names, ``recipe`` has the sampler's settings, ASHA's rungs and the enqueued
    configurations. ``truths`` are the true values of the ``pool``, ascending.
    """

    def __init__(
        self,
        collection: str,
        task: str,
        recipe: Recipe,
        space: Space,
        surrogate: Surrogate,
        pool: Sequence[Configuration],
    ) -> None:
        self.collection = collection
        self.task = task
        self.recipe = recipe
        self.space = space
        self.pool = tuple(pool)
        self._surrogate = surrogate
        mappings = [configuration.to_mapping() for configuration in self.pool]
        curves = curves_of(surrogate.answer(mappings), np.arange(len(mappings)))
        self._curves = dict(zip(self.pool, curves, strict=True))
        self.truths = np.sort([curve.truth for curve in curves])

    def curve(self, configuration: Configuration, seed: int) -> Curve:
        """Return the curve of a configuration. Those of the pool have one training seed each and ignore ``seed``."""
        known = self._curves.get(configuration)
        if known is not None:
            return known
        return curves_of(self._surrogate.answer([configuration.to_mapping()]), [seed])[0]

    def regret(self, truth: float) -> float:
        """Return the distance to the pool's best in units of the distance from its median to its best, logarithmic.

        0 is the best of the pool, 1 its median. A sampler that finds a better configuration has a negative regret.
        """
        best, median = np.log(-self.truths[-1]), np.log(-self.truths[len(self.truths) // 2])
        return float((np.log(-truth) - best) / (median - best))

    def rank_share(self, truth: float) -> float:
        """Return the share of the pool that is better, in percent."""
        return 100 * (1 - float(np.searchsorted(self.truths, truth, side="right")) / len(self.truths))


def curves_of(answers: Answers, seeds: Sequence[int] | np.ndarray) -> list[Curve]:
    """Return one curve per answer; ``seeds`` choose the noise."""
    truths = -np.exp(answers.log_errors[:, -LATE_EPOCHS:].mean(axis=1))
    draws = answers.noise.shape[1]
    found = []
    for logs, noise, seconds, truth, seed in zip(
        answers.log_errors, answers.noise, answers.seconds.tolist(), truths.tolist(), seeds, strict=True
    ):
        first = int(np.random.SeedSequence(int(seed)).generate_state(1)[0]) % draws
        errors = np.exp(logs + noise[first]).tolist()
        again = -np.exp(logs[-1] + np.delete(noise[:, -1], first))
        epochs = tuple(EpochRecord(e, v, v, -v, -v, seconds) for e, v in enumerate(errors, start=1))
        found.append(Curve(epochs, tuple(again.tolist()), truth))
    return found


def draw_pool(recipe: Recipe, space: Space, count: int) -> list[Configuration]:
    """Draw random configurations with the product's own sampler, seed 0."""
    random = Recipe("", "random", recipe.startup_trials, recipe.asha, recipe.parameters, (), "")
    sampler = StudySampler(random, 0, space)
    return [sampler.ask(number) for number in range(count)]


def mappings_of(names: Sequence[str], values: np.ndarray) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of an array as mappings from names to numbers."""
    return tuple(dict(zip(map(str, names), row, strict=True)) for row in values.tolist())
