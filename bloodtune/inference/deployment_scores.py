"""Scores of a trained network as it will be used: temperature, threshold, guard, and the entries of its card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.confidence import (
    calibration_error,
    fit_temperature,
    keep_threshold,
    kept_scores,
    reliability,
    with_temperature,
)
from bloodtune.inference.out_of_distribution import PASSED, Guard

# Training images to which a guard is fitted: many times the features of a residual network.
_GUARD_IMAGES = 4096

# Held-out images whose distances set a limit well enough: a validation split of BloodMNIST has 1,712.
_LIMIT_IMAGES = 1000


def judge_deployment(
    classifier: Classifier,
    train: Split,
    val: Split,
    test: Split | None,
    held_out: np.ndarray | None = None,
    distances: np.ndarray | None = None,
) -> tuple[dict[str, Any], Guard | None]:
    """Calibrate a classifier as ``Deployment`` predicts; return entries of its card, and its guard.

    ``temperature`` calibrates the probabilities. ``threshold`` accepts as many validation images as possible while 99 %
    of the accepted images are correct; it is above 1 if no such threshold exists. ``used_val`` and ``used_test`` are
    scores on both splits: ``kept`` is the share of accepted images, ``kept_accuracy`` their accuracy, ``passed`` the
    share that the guard knows, ``calibration_error`` the expected calibration error and ``uncalibrated_error`` that
    without temperature. With folds, ``val`` are all held-out images, and ``held_out`` their probabilities (N, K) by the
    networks of the folds. The guard's limit then rests on ``distances`` (N,), those of the held-out images from guards
    of the folds' networks; without them, on images that the kept network was trained on. Without a test split there is
    no ``used_test``.
    """
    deployment = Deployment(classifier)
    found, seen = deployment.examine(val.images)
    raw, features, truth = {"val": found if held_out is None else held_out}, {"val": seen}, {"val": val.labels}
    if test is not None:
        raw["test"], features["test"] = deployment.examine(test.images)
        truth["test"] = test.labels
    guard = fit_guard(deployment, train, seen)
    if guard and distances is not None and len(distances):
        guard = dataclasses.replace(guard, limit=float(np.quantile(distances, PASSED)))
    temperature = fit_temperature(raw["val"], val.labels)
    calibrated = {name: with_temperature(one, temperature) for name, one in raw.items()}
    threshold = keep_threshold(calibrated["val"], val.labels)
    card: dict[str, Any] = {"temperature": temperature, "threshold": threshold}
    for name, inputs in features.items():
        card[f"used_{name}"] = kept_scores(calibrated[name], truth[name], threshold) | {
            "passed": float(guard.knows(inputs).mean()) if guard else None,
            "calibration_error": calibration_error(reliability(truth[name], calibrated[name])),
            "uncalibrated_error": calibration_error(reliability(truth[name], raw[name])),
        }
    return card, guard


def fit_guard(deployment: Deployment, train: Split, held_out: np.ndarray) -> Guard | None:
    """Fit a guard as ``Guard.fit`` to the features of at most 4,096 training images; ``held_out`` are features."""
    rows = _draw_by_class(train.labels)
    return Guard.fit(deployment.examine(train.images, rows)[1], train.labels[rows], held_out)


def held_out_distances(folds: Iterable[tuple[Deployment, Split, Split]]) -> np.ndarray:
    """Return the distances (N,) of images from guards of networks that did not see them, fold by fold.

    Each of ``folds`` is a network, what it was trained on, and what was held out from it. The first folds that hold out
    1,000 images are used. A network without a guard adds none.
    """
    found, images = [np.zeros(0)], 0
    for deployment, train, held_out in folds:
        features = deployment.examine(held_out.images)[1]
        guard = fit_guard(deployment, train, features)
        found += [guard.distances(features)] if guard else []
        images += len(features)
        if images >= _LIMIT_IMAGES:
            break
    return np.concatenate(found)


def _draw_by_class(labels: np.ndarray) -> np.ndarray:
    # Indices of at most _GUARD_IMAGES images, the same number of each class where there are so many, in the order of
    # the file, from which they may have to be read.
    order = np.random.default_rng(0).permutation(len(labels))
    classes = np.unique(labels)
    each = max(1, _GUARD_IMAGES // len(classes))
    return np.sort(np.concatenate([order[labels[order] == one][:each] for one in classes]))
