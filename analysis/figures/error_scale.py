"""Scale of a score by the logarithm of its error, 1 - score: from 0.90 to 0.97 is as far as from 0 to 0.70."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.ticker import FixedLocator, NullLocator

LOWEST_ERROR = 1e-4  # so that a perfect score has a place

# Errors of the ticks, coarse and fine.
_COARSE = [base * 10.0**power for power in range(-4, 1) for base in (1, 2, 3, 5)]
_FINE = [base / 2 * 10.0**power for power in range(-4, 1) for base in range(2, 20)]


def use_error_scale(axes: Axes) -> None:
    """Scale the y axis of scores, which has its limits, by the logarithm of the error."""
    limits = axes.get_ylim()
    axes.set_yscale("function", functions=(_place, _score))
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(FixedLocator(error_ticks(*limits)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda score, _: f"{score:.4g}")


def error_norm(low: float, high: float) -> FuncNorm:
    """Return the norm that maps scores from ``low`` to ``high`` to [0, 1] by the logarithm of the error.

    Scores that are too close to tell apart, such as perfect ones, get a range below ``high``.
    """
    apart = float(_score(_place(np.asarray(high)) - 0.01))
    return FuncNorm((_place, _score), min(low, apart), high, clip=True)


def error_ticks(low: float, high: float) -> list[float]:
    """Return scores for ticks from ``low`` to ``high``, ascending: at least three, if two digits of error suffice."""
    for errors in (_COARSE, _FINE):
        ticks = sorted(score for error in errors if low <= (score := round(1 - error, 6)) <= high)
        if len(ticks) >= 3:
            break
    return ticks


def spread(low: float, high: float, below: float, above: float) -> tuple[float, float]:
    """Return limits around scores: the range ``low`` to ``high``, longer by these shares of it at both ends."""
    bottom, top = _place(np.array([low, high]))
    length = max(top - bottom, 0.05)
    bottom, top = _score(np.array([max(0.0, bottom - below * length), top + above * length]))
    return float(bottom), float(top)


def _place(score: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log10(np.maximum(1 - np.asarray(score, dtype=float), LOWEST_ERROR)))


def _score(place: np.ndarray) -> np.ndarray:
    return np.asarray(1 - 10.0 ** -np.asarray(place, dtype=float))
