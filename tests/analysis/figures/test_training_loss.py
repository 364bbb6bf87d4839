"""The figure of training losses: panels, seeds and their mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contender_fixtures import CNN, MARK, MLNN, TESTED, contenders_of, cut_to_one_seed
from figure_fixtures import lines_of
from figures.classification import training_loss


def test_training_loss_has_a_panel_a_configuration_and_a_line_a_seed() -> None:
    drawn = training_loss("CNN", contenders_of(CNN), MARK)

    assert [axes.get_title() for axes in drawn.figure.axes] == [
        "Config-1: CrossEntropy + SGD",
        "Config-2: CrossEntropy + Adam",
        "Config-3: NLLLoss + SGD",
        "Config-4: NLLLoss + Adam",
    ]
    seeds = lines_of(drawn, "seed")
    assert len(seeds) == 4 * 3
    expected = CNN[0].contender.retrainings[0].curve.train_loss
    np.testing.assert_array_equal(seeds[0].get_ydata(), expected)
    assert drawn.caption.startswith("CNN: training loss of 4 configurations, 3 seeds (thin) and their mean")


def test_training_loss_draws_the_mean_as_far_as_all_seeds_ran() -> None:
    def curve(*losses: float) -> pd.DataFrame:
        return pd.DataFrame({"epoch": np.arange(1, len(losses) + 1), "train_loss": losses})

    contender = MLNN[0].contender
    curves = (curve(3.0, 1.0), curve(2.0, 1.0, 0.5), curve(1.0, float("inf"), 0.1))
    retrainings = tuple(
        dataclasses.replace(retraining, curve=one, best_epoch=1)
        for retraining, one in zip(contender.retrainings, curves, strict=True)
    )

    drawn = training_loss("MLNN", [dataclasses.replace(contender, retrainings=retrainings)], MARK)

    (mean,) = lines_of(drawn, "mean")
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2])
    np.testing.assert_array_equal(mean.get_ydata(), [2.0, np.nan])


def test_figures_say_which_configurations_are_the_same_trainings() -> None:
    first, second = (one for one in TESTED if one.contender.label in ("MLNN config 1", "MLNN config 3"))
    shared = dataclasses.replace(second.contender, retrainings=first.contender.retrainings)
    sentence = "Mathematically the same and trained once: MLNN config 1 and MLNN config 3."
    assert sentence in training_loss("MLNN", [first.contender, shared], MARK).note
    assert sentence not in training_loss("MLNN", [first.contender, second.contender], MARK).note


def test_training_loss_of_one_seed_has_no_mean() -> None:
    drawn = training_loss("MLNN", [cut_to_one_seed(MLNN[0]).contender], MARK)

    assert len(lines_of(drawn, "seed")) == 1
    assert not lines_of(drawn, "mean")
    assert "of one configuration, one seed." in drawn.caption


def test_training_loss_of_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="training_loss: nothing to draw, at least one contender is needed"):
        training_loss("MLNN", [], MARK)
