"""Values predicted to the highest rung, and the study that sees them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optuna.trial import TrialState

from curve_fixtures import toy_table
from simulation.field import ALGORITHMS, NEW
from simulation.predicted import PredictedSampler, predicted_values


def test_an_error_falls_by_the_median_factor_of_those_that_went_on() -> None:
    curves = {0: {2: -0.4, 6: -0.2}, 1: {2: -0.5}, 2: {2: -0.3, 6: -0.1}, 3: {2: -0.4, 6: -0.3, 27: -0.24}}
    found = predicted_values(curves)
    assert found == pytest.approx(
        {0: -math.log(0.2 * 0.8), 1: -math.log(0.5 * 0.5 * 0.8), 2: -math.log(0.1 * 0.8), 3: -math.log(0.24)}
    )


def test_a_good_value_at_a_low_rung_beats_a_bad_one_at_a_high_rung() -> None:
    found = predicted_values({0: {2: -0.6, 6: -0.5}, 1: {2: -0.3}})
    assert found[1] > found[0]


def test_no_values_are_predicted_before_the_first_rung() -> None:
    assert predicted_values({}) == {}


def test_a_study_sees_every_trial_with_a_value_as_completed() -> None:
    sampler = PredictedSampler(toy_table(), 0)
    for number in range(12):
        sampler.ask(number)
        sampler.report(number, 2, -9.0)  # between the rungs 1 and 3 of the table's recipe
        if number < 11:
            sampler.report(number, 3, -0.1 - number)
    sampler.ask(12)
    trials = sampler._study.get_trials()
    assert [trial.state for trial in trials[:11]] == [TrialState.COMPLETE] * 11
    assert [trial.state for trial in trials[11:]] == [TrialState.RUNNING] * 2
    assert trials[3].value == pytest.approx(-math.log(3.1))


def test_the_candidate_spends_218_epochs_and_repeats_itself() -> None:
    table = toy_table()
    search = ALGORITHMS[NEW].search(table, trials=64, workers=1, seed=0)
    assert search.reports[-1].epochs == 64 * 2 + 12 * 4 + 2 * 21
    first, again = (ALGORITHMS[NEW].run(table, trials=14, workers=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
