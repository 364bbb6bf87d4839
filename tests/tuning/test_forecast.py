"""The forecast of a search's remaining time, computed by hand: one second per epoch unless a test says otherwise."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, RUNNING, TrialRecord
from bloodtune.space.recipe import Asha, Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.forecast import Forecast, forecast
from engine_fixtures import make_configuration
from run_fixtures import make_record, write_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Give a recipe of two families, rungs at 1, 3 and 9 of 27 epochs, and no enqueued configurations."""
    recipe = load_recipe(str(write_recipe(tmp_path)))
    return dataclasses.replace(recipe, asha=Asha(27, 1, 3), enqueued=())


def make_trials(*epochs: int, family: str = "cnn", seconds: float = 1.0, state: str = PRUNED) -> list[TrialRecord]:
    """Make trials with these epochs, each of ``seconds``."""
    configuration = make_configuration(family)
    return [
        make_record(number, state=state, epochs=count, train_seconds=count * seconds, configuration=configuration)
        for number, count in enumerate(epochs)
    ]


def test_without_an_epoch_the_seconds_are_unknown_and_the_epochs_are_not(recipe: Recipe) -> None:
    assert forecast(recipe, 64, [], 2) == Forecast(184, math.inf)
    assert forecast(recipe, 64, make_trials(0, 0, state=RUNNING), 2) == Forecast(184, math.inf)


def test_one_worker_needs_the_sum_of_all_epochs(recipe: Recipe) -> None:
    assert forecast(recipe, 64, make_trials(1), 1) == Forecast(183, pytest.approx(183))


def test_nothing_is_left_of_a_finished_search(recipe: Recipe) -> None:
    trials = make_trials(*[1] * 43, *[3] * 14, *[9] * 5, *[27] * 2)
    assert forecast(recipe, 64, trials, 2) == Forecast(0, 0.0)


def test_the_last_trial_runs_alone(recipe: Recipe) -> None:
    # One more trial is to go from epoch 9 to 27; the other seven workers wait.
    trials = make_trials(*[1] * 43, *[3] * 14, *[9] * 6, 27)
    assert forecast(recipe, 64, trials, 8) == Forecast(18, pytest.approx(18))


def test_with_many_workers_a_trial_still_needs_all_rungs(recipe: Recipe) -> None:
    assert forecast(recipe, 64, make_trials(*[1] * 64), 64).seconds == pytest.approx(2 + 6 + 18)


def test_each_rung_has_its_own_factor(recipe: Recipe) -> None:
    recipe = dataclasses.replace(recipe, asha=Asha(27, None, (2, 8), rungs=(1, 3)))
    # 64 trials at epoch 1, 32 for 2 more, 4 for 24 more. With 4 workers the last stage is the longest stretch of each.
    assert forecast(recipe, 64, make_trials(*[1] * 64), 1) == Forecast(64 + 96, pytest.approx(64 + 96))
    assert forecast(recipe, 64, make_trials(*[1] * 32, *[3] * 32), 4) == Forecast(96, pytest.approx(24))


def test_a_running_trial_needs_its_own_seconds(recipe: Recipe) -> None:
    trials = [*make_trials(*[1] * 43, *[3] * 14, *[9] * 5, 27), *make_trials(*[0] * 63, 17, seconds=5)[63:]]
    assert forecast(recipe, 64, trials, 2) == Forecast(10, pytest.approx(50))


def test_trials_to_come_are_as_slow_as_those_before_them(recipe: Recipe) -> None:
    slow = make_trials(*[1] * 32, seconds=10)
    assert forecast(recipe, 64, slow, 1).seconds == pytest.approx(10 * (184 - 32))


def test_an_enqueued_trial_is_as_slow_as_its_family_and_a_sampled_one_as_those_sampled(tmp_path: Path) -> None:
    recipe = load_recipe(str(write_recipe(tmp_path)))  # enqueues a cnn and an mlnn
    recipe = dataclasses.replace(recipe, asha=Asha(1, 1, 3))
    (cnn,), mlnn = make_trials(1), make_trials(1, 1, 1, family="mlnn", seconds=9)[2]
    # Trial 1 is the enqueued mlnn. Trials 3 and 4 are the mean of one mlnn and four times the mean of both families.
    assert forecast(recipe, 5, [cnn, mlnn], 1).seconds == pytest.approx(9 + 2 * (9 + 4 * 5) / 5)


def test_trials_to_come_are_as_slow_as_the_last_ones(recipe: Recipe) -> None:
    recipe = dataclasses.replace(recipe, asha=Asha(1, 1, 3))
    fast, slow = make_trials(*[1] * 20), make_trials(*[1] * 25, seconds=10)[20:]
    families = (20 * 1 + 5 * 10) / 25
    expected = 39 * (5 * 10 + 4 * families) / 9
    assert forecast(recipe, 64, [*slow, *fast], 1).seconds == pytest.approx(expected), "by number, not by their end"


def test_failed_trials_need_nothing_and_are_not_replaced(recipe: Recipe) -> None:
    failed = make_trials(0, 1, 2, state=FAILED)
    assert forecast(recipe, 3, failed, 2).epochs == 0
    assert forecast(recipe, 67, failed, 1).epochs == 184


def test_more_promotions_than_a_third_are_counted(recipe: Recipe) -> None:
    recipe = dataclasses.replace(recipe, asha=Asha(3, 1, 3))
    trials = make_trials(3, 3, 3, state=COMPLETE)
    # Three of three have gone on; of six others a third will: 6 + 2 * 2 epochs.
    assert forecast(recipe, 9, trials, 1) == Forecast(10, pytest.approx(10))
