"""The error of the forecast over simulated searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import time_left
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.sampler import RecipeSpace
from curves.surrogate import DRAWS, Answers
from curves.tables import LAST_EPOCH, Table, draw_pool
from simulation.field import ALGORITHMS
from simulation.replay import trials_at


class DropoutSurrogate:
    """The error rises with the dropout; an epoch takes two seconds."""

    def answer(self, mappings: Sequence[Mapping[str, Any]]) -> Answers:
        errors = np.array([[0.1 + mapping["dropout"]] * LAST_EPOCH for mapping in mappings])
        noise = np.zeros((len(mappings), DRAWS, LAST_EPOCH))
        return Answers(np.log(errors), noise, np.full(len(mappings), 2.0))


@pytest.fixture(scope="module")
def table() -> Table:
    recipe = load_recipe("default")
    space = RecipeSpace(recipe)
    return Table("toys", "toy", recipe, space, DropoutSurrogate(), draw_pool(recipe, space, 50))


def test_a_replay_shows_whole_epochs_of_the_trials_that_had_started(table: Table) -> None:
    search, queue = ALGORITHMS["random-capped"].search(table, budget=64, workers=2, seed=0)

    def epochs_at(seconds: float) -> dict[int, int]:
        return {trial.trial: trial.epochs for trial in trials_at(search, queue.finished, seconds)}

    assert epochs_at(0) == {0: 0, 1: 0}
    assert epochs_at(search.reports[-1].seconds) == {record.trial: record.epochs for record in queue.finished}
    report = next(report for report in search.reports if report.epoch == LAST_EPOCH)
    each = search.curves[report.trial].epochs[0].seconds
    assert epochs_at(report.seconds - 1.5 * each)[report.trial] == LAST_EPOCH - 2


@pytest.mark.parametrize("workers", [1, 8])
def test_the_forecast_is_right_if_all_epochs_take_equally_long(table: Table, workers: int) -> None:
    errors = time_left.forecast_errors(ALGORITHMS["random-capped"], table, 64, workers, seed=0)
    assert np.abs(errors).max() < 0.02
