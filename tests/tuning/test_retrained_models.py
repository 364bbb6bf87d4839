"""Contenders: the mean and the median over seeds, computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bloodtune.tuning.retrained_models import Contender, Retraining, TestedContender
from engine_fixtures import make_configuration


def make_contender(*scores: float) -> Contender:
    """Make a contender with one retraining for each validation macro-F1."""
    retrainings = tuple(
        Retraining(
            seed=seed,
            epochs=10,
            best_epoch=5,
            val_macro_f1=score,
            val_accuracy=0.9,
            train_seconds=1.0,
            parameters=100,
            curve=pd.DataFrame(),
            model=Path(f"seed-{seed}"),
        )
        for seed, score in enumerate(scores)
    )
    return Contender("search #1", "found", make_configuration(), 27, retrainings)


def test_a_contender_is_judged_by_the_mean_over_its_seeds() -> None:
    assert make_contender(0.2, 0.9, 0.7).mean_val_macro_f1 == pytest.approx(0.6)
    assert isinstance(make_contender(0.5).mean_val_macro_f1, float)


@pytest.mark.parametrize(
    ("scores", "median"),
    [
        ((0.5,), 0),
        ((0.9, 0.2, 0.7), 2),
        ((0.1, 0.2, 0.3, 0.4, 0.5), 2),
        ((0.8, 0.6), 1),  # the lower one of two
        ((0.9, 0.1, 0.7, 0.3), 3),
        ((0.5, 0.5, 0.5), 1),  # of equal ones the one in the middle
        ((0.7, 0.1, 0.7), 0),
    ],
)
def test_the_median_is_the_place_of_a_seed(scores: tuple[float, ...], median: int) -> None:
    assert make_contender(*scores).median == median


def test_median_probabilities_are_those_of_the_median_seed() -> None:
    probabilities = np.arange(3 * 2 * 4, dtype=np.float32).reshape(3, 2, 4)
    tested = TestedContender(make_contender(0.9, 0.2, 0.7), probabilities)
    np.testing.assert_array_equal(tested.median_probabilities, probabilities[2])


def test_a_published_contender_may_have_no_score_of_the_search() -> None:
    assert make_contender(0.5).search_val_macro_f1 is None
