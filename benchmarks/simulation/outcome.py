"""Outcome of a simulated search: the model that a user would get at several moments, and its cost."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from curves.tables import LAST_EPOCH, Curve, Table
from simulation.loop import Report, Search

FINALISTS = 3  # configurations that are trained again, with another seed, before one is chosen
MOMENTS = 28  # of a search at which the outcome is taken
EPOCHS, SECONDS, REGRET, RANK = range(4)  # columns of an outcome


def outcomes(search: Search, table: Table, *, trials: int, workers: int, seed: int) -> np.ndarray:
    """Return float64 (MOMENTS + 1, 4): epochs, seconds, regret and rank share; the last row is after ``trials`` trials.

    Epochs and seconds include the retraining of the finalists. The moments are spread evenly over the logarithm of the
    epochs. A search with fewer moments repeats its last row.
    """
    reports = search.reports
    spent = [report.epochs for report in reports]
    wanted = np.geomspace(spent[0], spent[-1], MOMENTS)
    counts = np.searchsorted(spent, wanted, side="right").tolist()
    counts[-1] = len(reports)
    counts.append(search.proposed[trials] if len(search.proposed) > trials else len(reports))
    found = np.empty((MOMENTS + 1, 4))
    known: dict[int, tuple[float, float, float, float]] = {}
    last: dict[int, tuple[int, float]] = {}
    done = 0
    for count in sorted(set(counts)):
        for report in reports[done:count]:
            last[report.trial] = report.epoch, report.value
        done = count
        known[count] = _outcome(search.curves, table, reports[count - 1], last, workers, seed)
    for row, count in enumerate(counts):
        found[row] = known[count]
    return found


def finalists(last: dict[int, tuple[int, float]]) -> list[int]:
    """Return the trials to train again: those of the deepest rung, best first, then those of the rung before.

    ``last`` has each trial's last epoch and its value there.
    """
    return heapq.nlargest(FINALISTS, last, key=last.__getitem__)


def _outcome(
    curves: dict[int, Curve], table: Table, report: Report, last: dict[int, tuple[int, float]], workers: int, seed: int
) -> tuple[float, float, float, float]:
    chosen = finalists(last)
    again = {number: curves[number].again[(seed + number) % len(curves[number].again)] for number in chosen}
    truth = curves[max(chosen, key=again.__getitem__)].truth
    seconds = LAST_EPOCH * sum(curves[number].epochs[0].seconds for number in chosen) / min(workers, FINALISTS)
    epochs = report.epochs + LAST_EPOCH * len(chosen)
    return epochs, report.seconds + seconds, table.regret(truth), table.rank_share(truth)


def at_cost(found: np.ndarray, costs: Sequence[float] | np.ndarray, column: int) -> np.ndarray:
    """Return the regret at each of ``costs``: (searches, costs), from outcomes (searches, MOMENTS + 1, 4).

    ``column`` is EPOCHS or SECONDS. Before its first outcome a search has the regret of that one.
    """
    regrets = []
    for moments in found[:, :-1]:
        order = np.argsort(moments[:, column], kind="stable")
        places = np.searchsorted(moments[order, column], costs, side="right") - 1
        regrets.append(moments[order[np.maximum(places, 0)], REGRET])
    return np.stack(regrets)
