"""Scores from a confusion matrix: accuracy, precision, recall, macro-F1 and weighted F1.

Rows are the true classes, columns the predicted classes. Every function takes matrices (..., C, C) with counts of any
number type and keeps the leading dimensions, so one call scores a thousand bootstrap resamples. A quotient with
denominator zero (a class that is absent or never predicted) is 0, as with scikit-learn's zero_division=0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate with the bounds of its interval."""

    value: float
    low: float
    high: float


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (C, C) of true and predicted classes, integers (N,) below ``classes``.

    Raises:
        ValueError: the shapes differ, or a class is out of range.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise ValueError(f"labels {labels.shape} and predicted {predicted.shape}: both must have the same shape (N,)")
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"{name} from {values.min()} to {values.max()}: allowed from 0 to {classes - 1}")
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def resample(matrix: np.ndarray, generator: np.random.Generator, resamples: int = 1000) -> np.ndarray:
    """Return bootstrap resamples (R, C, C) of a confusion matrix (C, C).

    Drawing cells from a multinomial distribution equals drawing images with replacement.
    """
    cells = matrix.ravel()
    return generator.multinomial(cells.sum(), cells / cells.sum(), size=resamples).reshape(-1, *matrix.shape)


def percentile(value: float, resampled: np.ndarray, level: float = 0.95) -> Interval:
    """Return a value with the central interval that holds a share ``level`` of its resamples; NaN are left out."""
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Return the share of correctly classified images, shape (...)."""
    return _quotient(_diagonal(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Return the unweighted mean of the classes' F1, shape (...).

    A class that is neither true nor predicted anywhere has F1 = 0; the data checks exclude this case.
    """
    return np.asarray(per_class(matrix)[2].mean(axis=-1))


def weighted_f1(matrix: np.ndarray) -> np.ndarray:
    """Return the mean of the classes' F1, weighted by their numbers of images, shape (...)."""
    _, _, f1, support = per_class(matrix)
    return _quotient((f1 * support).sum(axis=-1), support.sum(axis=-1))


def weighted_precision(matrix: np.ndarray) -> np.ndarray:
    """Return the mean of the classes' precision, weighted by their numbers of images, shape (...)."""
    precision, _, _, support = per_class(matrix)
    return _quotient((precision * support).sum(axis=-1), support.sum(axis=-1))


def per_class(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall, F1 and support (true images) of each class, four arrays (..., C)."""
    right, support, predicted = _diagonal(matrix), matrix.sum(axis=-1), matrix.sum(axis=-2)
    f1 = _quotient(2 * right, support + predicted)
    return _quotient(right, predicted), _quotient(right, support), f1, support


def _diagonal(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.diagonal(matrix, axis1=-2, axis2=-1))


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.zeros(np.shape(denominator))
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator != 0))
