"""The field: the algorithms that are compared, each as a queue with a sampler, and a stopping rule."""

from __future__ import annotations

import copy
import dataclasses
import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bloodtune.space.recipe import Asha, Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.trial_queue import Sampler, TrialQueue
from curves.tables import LAST_EPOCH, Table
from simulation.loop import Rule, Search, simulate
from simulation.outcome import outcomes
from simulation.rules import RayAsha, ToTheEnd
from simulation.samplers import OptunaSearchSampler, RandomSampler
from simulation.waiting import Hyperband, Pasha, SynchronousHalving, Waiting, halving

REFERENCE, DEFAULT = "optuna-mended", "default"

FACTOR = 3  # of the papers on halving and ASHA
DEFAULT_ASHA = load_recipe("default").asha
TWO_SIX = (2, 6), 5  # of 64 trials 12 go on after epoch 2, and 2 after epoch 6

# Algorithms whose rule does not depend on the number of trials are run over more trials than the budget, to see when
# they reach the reference's quality. Random ones cost nothing and are run over still more.
EXTENSION, FAR = 1.5, 4.0


@dataclass(frozen=True)
class Algorithm:
    """A search algorithm.

    ``sampler`` and ``rule`` make its parts. ``extension`` times the budget's trials are run.
    ``is_enqueued`` tells whether it starts with the configurations that the recipe enqueues. ``first_rung`` and
    ``last_rung`` are those of the recipe; ``given`` are rungs and a factor in their place.
    """

    title: str
    sampler: Callable[[Table, int], Sampler]
    rule: Callable[[Recipe, TrialQueue], Rule]
    extension: float = EXTENSION
    is_enqueued: bool = False
    first_rung: int = 1
    last_rung: int | None = None
    given: tuple[tuple[int, ...], int | tuple[int, ...]] | None = None

    def run(self, table: Table, *, trials: int, workers: int, seed: int) -> np.ndarray:
        """Simulate one search; return its outcomes, (MOMENTS + 1, 4)."""
        search, _ = self.search(table, budget=round(trials * self.extension), workers=workers, seed=seed)
        return outcomes(search, table, trials=trials, workers=workers, seed=_own_seed(table, seed))

    def search(self, table: Table, *, budget: int, workers: int, seed: int) -> tuple[Search, TrialQueue]:
        """Simulate one search of ``budget`` trials; return its record and its queue."""
        table, own_seed = adapted(table, self), _own_seed(table, seed)
        queue = TrialQueue(table.recipe, self.sampler(table, own_seed), budget=budget)
        return simulate(table, queue, self.rule(table.recipe, queue), workers=workers, seed=own_seed), queue


def _own_seed(table: Table, seed: int) -> int:
    return zlib.crc32(f"{table.collection} {table.task} {seed}".encode())


@functools.lru_cache(maxsize=128)
def adapted(table: Table, algorithm: Algorithm) -> Table:
    """Return the table with the algorithm's rungs and enqueued configurations in its recipe."""
    recipe, other = table.recipe, copy.copy(table)
    if algorithm.given:
        rungs, factor = algorithm.given
        asha = Asha(LAST_EPOCH, None, factor, rungs=rungs)
    else:
        asha = Asha(LAST_EPOCH, algorithm.first_rung, FACTOR, algorithm.last_rung)
    enqueued = recipe.enqueued if algorithm.is_enqueued else ()
    other.recipe = dataclasses.replace(recipe, asha=asha, enqueued=enqueued)
    return other


def _tpe(table: Table, seed: int) -> Sampler:
    return StudySampler(table.recipe, seed, table.space, perfect=0.0)


def _random(table: Table, seed: int) -> Sampler:
    return RandomSampler(table, seed)


def _waiting(recipe: Recipe, queue: TrialQueue) -> Rule:
    return Waiting(recipe.asha)


def _capped(recipe: Recipe, queue: TrialQueue) -> Rule:
    return Waiting(recipe.asha, is_capped=True)


def _best_of_one_epoch(recipe: Recipe, queue: TrialQueue) -> Rule:
    return SynchronousHalving({1: 3}, queue.budget, recipe.asha.max_epochs)


ALGORITHMS = {
    "random": Algorithm("random, to the end", _random, lambda recipe, _: ToTheEnd(recipe.asha), extension=FAR),
    "random-asha": Algorithm("random + ASHA", _random, lambda recipe, _: RayAsha(recipe.asha), extension=FAR),
    "optuna-shipped": Algorithm(
        "OptunaSearch + ASHA, as shipped",
        lambda table, seed: OptunaSearchSampler(table, seed, is_mended=False),
        lambda recipe, _: RayAsha(recipe.asha),
    ),
    REFERENCE: Algorithm(
        "OptunaSearch + ASHA, mended",
        lambda table, seed: OptunaSearchSampler(table, seed, is_mended=True),
        lambda recipe, _: RayAsha(recipe.asha),
    ),
    "one-epoch": Algorithm("random, 1 epoch, then the best 3", _random, _best_of_one_epoch, extension=1),
    "hyperband": Algorithm(
        "random + Hyperband", _random, lambda recipe, queue: Hyperband(recipe.asha, queue.budget), extension=1
    ),
    "random-halving": Algorithm(
        "random + halving in step", _random, lambda recipe, queue: halving(recipe.asha, queue.budget), extension=1
    ),
    "random-waiting": Algorithm("random + waiting halving", _random, _waiting, extension=FAR),
    "tpe-waiting": Algorithm("TPE + waiting halving", _tpe, _waiting),
    "pasha": Algorithm("random + PASHA", _random, lambda recipe, queue: Pasha(recipe.asha, queue), extension=FAR),
    # Other settings of the default's parts.
    DEFAULT: Algorithm(
        f"the default: TPE + capped waiting halving, rungs {', '.join(map(str, DEFAULT_ASHA.rungs))}",
        _tpe,
        _capped,
        given=(DEFAULT_ASHA.rungs, DEFAULT_ASHA.reduction_factor),
    ),
    "random-capped": Algorithm("random + capped waiting halving", _random, _capped, extension=FAR),
    "random-to-9": Algorithm(
        "random + capped waiting halving, rungs 1, 3, 9; no trial to the end",
        _random,
        _capped,
        extension=FAR,
        last_rung=9,
    ),
    "random-3-9": Algorithm(
        "random + capped waiting halving, rungs 3, 9; no trial to the end",
        _random,
        _capped,
        extension=FAR,
        first_rung=3,
        last_rung=9,
    ),
    "random-2-6": Algorithm(
        "random + capped waiting halving, rungs 2, 6, factor 5", _random, _capped, extension=FAR, given=TWO_SIX
    ),
    "tpe-2-6": Algorithm("TPE + capped waiting halving, rungs 2, 6, factor 5", _tpe, _capped, given=TWO_SIX),
}
