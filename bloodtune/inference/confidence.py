"""Confidence of predictions: the threshold for sure predictions, the share kept, and the calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bloodtune.inference.differential import wilson
from bloodtune.training import metrics

KEPT_ACCURACY = 0.99
BINS = 10
MIN_ERRORS = 5


@dataclass(frozen=True)
class Bin:
    """Images of similar confidence: their number, mean confidence, and accuracy with its interval."""

    images: int
    confidence: float
    accuracy: float
    low: float
    high: float


def keep_threshold(probabilities: np.ndarray, labels: np.ndarray, accuracy: float = KEPT_ACCURACY) -> float:
    """Return the lowest threshold whose accepted images have at least this accuracy, else the float above 1.

    An image is accepted if its largest probability reaches the threshold. Probabilities (N, K), labels (N,).
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order]) / np.arange(1, len(order) + 1)
    # A threshold accepts all images of equal confidence, so only the last of them can set it.
    is_last = np.append(np.diff(confidence[order]) < 0, True)
    kept = np.flatnonzero((right >= accuracy) & is_last)
    return float(confidence[order][kept[-1]]) if len(kept) else float(np.nextafter(np.float32(1), np.float32(2)))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature under which the probabilities (N, K) of labels (N,) have the least mean log loss.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), here on probabilities that are means over
    views. It lies between 1/4 and 4. With fewer than ``MIN_ERRORS`` errors, too few to calibrate by, it is 1.
    """
    if (probabilities.argmax(1) != labels).sum() < MIN_ERRORS:
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        right = with_temperature(probabilities, np.exp(log))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    found = minimize_scalar(loss, bounds=(-np.log(4), np.log(4)), method="bounded")
    return float(np.exp(found.x))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (N, K) to the power of 1 / temperature, divided by their sum."""
    powers = np.maximum(probabilities.astype(np.float64), 1e-12) ** (1 / temperature)
    return np.asarray(powers / powers.sum(1, keepdims=True))


def kept_scores(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """Return ``accuracy`` and ``macro_f1`` of all images, the share ``kept`` by the threshold, and ``kept_accuracy``.

    Probabilities (N, K), labels (N,). ``kept_accuracy`` is None if the threshold keeps no image.
    """
    predicted = probabilities.argmax(axis=1)
    kept = probabilities.max(axis=1) >= threshold
    matrix = metrics.confusion_matrix(labels, predicted, probabilities.shape[1])
    return {
        "accuracy": float(metrics.accuracy(matrix)),
        "macro_f1": float(metrics.macro_f1(matrix)),
        "kept": float(kept.mean()),
        "kept_accuracy": float((predicted == labels)[kept].mean()) if kept.any() else None,
    }


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """Return the bins of equal width on [0, 1] that contain images; labels (N,), probabilities (N, K).

    ``low`` and ``high`` are Wilson's 95 % interval of the accuracy.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = bin_numbers(confidence)
    bins = []
    for index in np.unique(place):
        inside = place == index
        low, high = wilson(int(right[inside].sum()), int(inside.sum()))
        accuracy, mean = float(right[inside].mean()), float(confidence[inside].mean())
        bins.append(Bin(int(inside.sum()), mean, accuracy, low, high))
    return bins


def bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """Return the number of the bin, 0 to ``BINS`` - 1, of each confidence (N,)."""
    return np.asarray(np.minimum((confidence * BINS).astype(int), BINS - 1))


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean over images of |accuracy - confidence| of the image's bin.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017).
    """
    images = sum(one.images for one in bins)
    return sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / images
