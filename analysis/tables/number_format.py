"""Cells of tables: percentages with intervals or standard deviations, and p-values, as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bloodtune.training.metrics import Interval

NOTHING = "–"


def percent(interval: Interval, decimals: int, *, sign: bool = False) -> str:
    """Return an interval on [0, 1] in percent, e.g. ``95.0 [94.3, 95.7]``."""
    plus = "+" if sign else ""
    value, low, high = (f"{100 * bound:{plus}.{decimals}f}".replace("-", "−") for bound in interval)
    return f"{value} [{low}, {high}]"


def decimals_of(intervals: Sequence[Interval]) -> int:
    """Return the decimals for a column of percentages: 2 if the median interval is narrower than 0.5 points, else 1."""
    return 1 if np.median([interval.high - interval.low for interval in intervals]) >= 0.005 else 2


def p_value(p: float) -> str:
    """Return a p-value with three decimals, or ``<0.001``."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def mean_and_sd(shares: Sequence[float], decimals: int) -> str:
    """Return mean and standard deviation of values on [0, 1] in percent, e.g. ``95.0 ± 0.3``."""
    values = 100 * np.array(shares)
    deviation = f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{deviation}"


def two_decimals(share: float | None) -> str:
    """Return a value on [0, 1] in percent with two decimals; a dash for None."""
    return NOTHING if share is None else f"{100 * share:.2f}"
