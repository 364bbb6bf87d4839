"""Comparison of two models: exact McNemar test, paired bootstrap, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bloodtune.training.metrics import Interval, percentile


@dataclass(frozen=True)
class McNemar:
    """Images that only the first or only the second classifier has right, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare the predicted classes (N,) of two classifiers on the same images.

    Source: McNemar (1947), as an exact binomial test with p = 1/2 on the images that one classifier alone has right.
    """
    right_first, right_second = first == labels, second == labels
    only_first = int((right_first & ~right_second).sum())
    only_second = int((right_second & ~right_first).sum())
    discordant = only_first + only_second
    p = stats.binomtest(only_first, discordant, 0.5).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p))


def accuracy_difference(
    compared: McNemar, images: int, generator: np.random.Generator, resamples: int = 1000, level: float = 0.95
) -> Interval:
    """Return the second classifier's accuracy minus the first's, with a paired bootstrap interval."""
    first, second = compared.only_first, compared.only_second
    shares = np.array([first, second, images - first - second]) / images
    drawn = generator.multinomial(images, shares, size=resamples)
    return percentile((second - first) / images, (drawn[:, 1] - drawn[:, 0]) / images, level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple comparisons, in the given order (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]
