"""Comparison of algorithms: means with bootstrap intervals, ranks over tasks, and the cost of equal quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.isotonic import isotonic_regression

from simulation.outcome import EPOCHS, RANK, REGRET, SECONDS, at_cost

DRAWS = 1000  # of a bootstrap
GRID = 200  # costs at which curves are compared
LEVELS = (2.5, 50, 97.5)

# Outcomes of one collection: per algorithm and task, (searches, MOMENTS + 1, 4).
Outcomes = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Row:
    """One algorithm on one collection.

    ``epochs`` and ``seconds`` are means after the budget's trials; ``regret`` and ``rank`` (percent) are medians there,
    each as low, median, high. ``equal`` is the mean regret at the epochs of the reference, ``place`` the mean rank over
    tasks and ``won`` the share of tasks won there. The ratios are those of ``cost_ratio``.
    """

    algorithm: str
    epochs: float
    seconds: float
    regret: tuple[float, float, float]
    rank: tuple[float, float, float]
    equal: tuple[float, float, float]
    place: float
    won: float
    epochs_ratio: tuple[float, float, float]
    seconds_ratio: tuple[float, float, float]


def compare(found: Outcomes, reference: str) -> list[Row]:
    """Return one row per algorithm; ``reference`` is the algorithm whose quality and cost the others are held to."""
    tasks = list(next(iter(found.values())))
    cost = float(np.mean([found[reference][task][:, -1, EPOCHS].mean() for task in tasks]))
    means = {name: np.array([at_cost(by[t], [cost], EPOCHS).mean() for t in tasks]) for name, by in found.items()}
    places = rankdata(np.array(list(means.values())), axis=0)
    rows = []
    for by, place, (name, outcomes) in zip(means.values(), places, found.items(), strict=True):
        ends = [outcomes[task][:, -1] for task in tasks]
        equal = [at_cost(outcomes[task], [cost], EPOCHS) for task in tasks]
        rows.append(
            Row(
                name,
                float(np.mean([end[:, EPOCHS].mean() for end in ends])),
                float(np.mean([end[:, SECONDS].mean() for end in ends])),
                interval([end[:, [REGRET]] for end in ends], np.median),
                interval([end[:, [RANK]] for end in ends], np.median),
                interval(equal, np.mean),
                float(place.mean()),
                float(np.mean(by <= np.min(list(means.values()), axis=0))),
                cost_ratio(found[reference], outcomes, EPOCHS),
                cost_ratio(found[reference], outcomes, SECONDS),
            )
        )
    return rows


def interval(values: Sequence[np.ndarray], statistic: object) -> tuple[float, float, float]:
    """Return low, middle and high of a statistic over searches, averaged over tasks; ``values`` are (searches, 1)."""
    assert callable(statistic)
    generator = np.random.default_rng(0)
    draws = []
    for task in values:
        picks = generator.integers(len(task), size=(DRAWS, len(task)))
        draws.append(statistic(task[:, 0][picks], axis=1))
    low, _, high = np.percentile(np.mean(draws, axis=0), LEVELS)
    return float(low), float(np.mean([statistic(task) for task in values])), float(high)


def cost_ratio(
    reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], column: int
) -> tuple[float, float, float]:
    """Return how many times the cost of ``other`` the reference needs for the same quality.

    The quality is the reference's mean regret, over searches and tasks, at the cost that it spends on average. Each
    one's curve of mean regret against cost is made monotone, and its cost is the first at which it has the quality. A
    ratio of 0 means that ``other`` does not reach it. Low, median and high come from a bootstrap over searches.
    """
    spent = float(np.mean([ends[:, -1, column].mean() for ends in reference.values()]))
    grids, curves = zip(*(_falling_curves(by_task, column, spent) for by_task in (reference, other)), strict=True)
    qualities = curves[0][:, np.searchsorted(grids[0], spent)]
    needed, others = (_first_costs(grid, curve, qualities) for grid, curve in zip(grids, curves, strict=True))
    low, middle, high = np.percentile(needed / others, LEVELS)
    return float(low), float(middle), float(high)


def mean_curve(by_task: Mapping[str, np.ndarray], costs: np.ndarray, column: int) -> np.ndarray:
    """Return the mean regret over tasks and searches at each cost in each draw of a bootstrap: (DRAWS, costs)."""
    return _mean_over_tasks([at_cost(found, costs, column) for found in by_task.values()])


def _mean_over_tasks(values: Sequence[np.ndarray]) -> np.ndarray:
    # Means over searches drawn with replacement in each task, (searches, m) to (DRAWS, m), always the same draws.
    total = np.zeros((DRAWS, values[0].shape[1]))
    for task, found in enumerate(values):
        count = len(found)
        drawn = np.random.default_rng(task).multinomial(count, [1 / count] * count, size=DRAWS)
        total += drawn @ found / count
    return total / len(values)


def _falling_curves(by_task: Mapping[str, np.ndarray], column: int, spent: float) -> tuple[np.ndarray, np.ndarray]:
    # Costs (m,), with ``spent`` among them, and the monotone mean regret in each draw of a bootstrap (DRAWS, m).
    lowest = min(found[:, :-1, column].min() for found in by_task.values())
    highest = max(found[:, :-1, column].max() for found in by_task.values())
    grid = np.union1d(np.geomspace(lowest, highest, GRID), [spent])
    curves = mean_curve(by_task, grid, column)
    return grid, np.stack([isotonic_regression(curve, increasing=False) for curve in curves])


def _first_costs(grid: np.ndarray, curves: np.ndarray, qualities: np.ndarray) -> np.ndarray:
    # Per draw the first cost of a quality; infinite where it is not reached. Sums of equal numbers differ a little.
    reached = curves <= qualities[:, None] + 1e-9
    return np.where(reached.any(axis=1), grid[reached.argmax(axis=1)], np.inf)
