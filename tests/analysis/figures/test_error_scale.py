"""The axis of scores by the logarithm of their error."""

from __future__ import annotations

import pytest

from figures.error_scale import error_norm, error_ticks, spread


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 0.975, [0.5, 0.7, 0.8, 0.9, 0.95, 0.97]),
        (0.0, 1.0, [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999]),
        (0.94, 0.961, [0.94, 0.945, 0.95, 0.955, 0.96]),
        (0.3, 0.65, [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65]),
    ],
)
def test_ticks_are_round_errors_and_at_least_three(low: float, high: float, ticks: list[float]) -> None:
    assert error_ticks(low, high)[: len(ticks)] == ticks


def test_limits_are_longer_by_shares_of_the_range_on_the_scale() -> None:
    # From an error of 0.1 to one of 0.01 is one decade.
    assert spread(0.9, 0.99, 0.5, 1) == pytest.approx((1 - 10**-0.5, 0.999))
    assert spread(0.1, 0.9, 1, 0)[0] == 0.0, "no score is negative"
    low, high = spread(0.8, 0.8, 0.1, 0.1)
    assert low < 0.8 < high


def test_the_norm_halves_where_the_error_does_and_takes_a_perfect_score() -> None:
    norm = error_norm(0.9, 0.999)
    assert [float(norm(score)) for score in (0.5, 0.9, 0.99, 0.999, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
