"""Tests of significance against values computed by hand; the first ones are in test_scores.py."""

from __future__ import annotations

import numpy as np
import pytest

from scores import Interval
from significance import McNemar, accuracy_difference, holm, mcnemar


def predictions_with(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, ...]:
    """Return labels and two predictions that agree with them as often as told."""
    right_first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    right_second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    labels = np.arange(len(right_first)) % 3
    return labels, np.where(right_first, labels, labels + 1), np.where(right_second, labels, labels + 2)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        # Twice the tail: 2 * (1 + 11 + 55) / 2^11.
        (9, 2, 134 / 2048),
        (2, 9, 134 / 2048),
        # All on one side: 2 / 2^10.
        (10, 0, 2 / 1024),
        (1, 0, 1.0),
        (6, 6, 1.0),
        # 2 * (1 + 5) / 2^5.
        (1, 4, 12 / 32),
    ],
)
def test_mcnemar_is_twice_the_binomial_tail(only_first: int, only_second: int, p: float) -> None:
    found = mcnemar(*predictions_with(21, only_first, only_second, 12))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(p)


def test_mcnemar_does_not_look_at_images_on_which_both_are_right_or_wrong() -> None:
    few, many = (mcnemar(*predictions_with(number, 9, 2, number)) for number in (0, 500))
    assert few == many


def test_a_difference_between_equal_classifiers_is_zero_without_doubt() -> None:
    assert accuracy_difference(McNemar(0, 0, 1.0), 50, np.random.default_rng(0)) == Interval(0.0, 0.0, 0.0)


def test_a_difference_on_every_image_is_one_without_doubt() -> None:
    assert accuracy_difference(McNemar(0, 7, 0.0), 7, np.random.default_rng(0)) == Interval(1.0, 1.0, 1.0)


def test_two_images_have_the_quantiles_of_their_four_resamples() -> None:
    # One image for each classifier: resamples differ by -1, 0, 0 and 1, each of the four as likely.
    wide = accuracy_difference(McNemar(1, 1, 1.0), 2, np.random.default_rng(0), resamples=2000)
    narrow = accuracy_difference(McNemar(1, 1, 1.0), 2, np.random.default_rng(0), resamples=2000, level=0.4)
    assert (wide, narrow) == (Interval(0.0, -1.0, 1.0), Interval(0.0, 0.0, 0.0))


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 1.959964), (0.5, 0.674490)])
def test_the_interval_of_a_difference_has_the_width_of_paired_shares(level: float, quantile: float) -> None:
    # Variance of a paired difference: (b + c - (c - b)^2 / n) / n^2 = (10 + 60 - 2.5) / 1000^2.
    found = accuracy_difference(McNemar(10, 60, 0.0), 1000, np.random.default_rng(0), resamples=20_000, level=level)
    assert found.high - found.low == pytest.approx(2 * quantile * 67.5**0.5 / 1000, rel=0.07)


def test_the_seed_decides_about_the_interval_and_not_about_the_difference() -> None:
    one, same, other = (
        accuracy_difference(McNemar(30, 60, 0.0), 1000, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert one == same != other
    assert one.value == other.value == 0.03


def test_holm_multiplies_the_smallest_by_the_number_of_tests_and_never_falls() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the value before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.04], [0.04]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.001], [0.6, 0.002]),
        ([0.5, 0.5], [1.0, 1.0]),
    ],
)
def test_holm_of_few_tests(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)
