"""What the chosen model looked at in the test images that it misclassifies: each image with its heat map."""

from __future__ import annotations

import numpy as np

from bloodtune.inference.classifier import Classifier
from bloodtune.inference.heat_map import heat_maps
from summary import Summary

_COLD, _HOT = np.array([68.0, 1.0, 84.0]), np.array([253.0, 231.0, 37.0])  # the ends of matplotlib's viridis


def explain_mistakes(summary: Summary, most: int) -> list[np.ndarray]:
    """Return the first ``most`` of ``summary.mistakes``, uint8 (H, W, 3), each with the heat map of the wrong class."""
    rows = summary.mistakes[:most]
    contender = summary.best.contender
    images, predicted = summary.test.images[rows], summary.best.median_probabilities[rows].argmax(axis=1)
    network = Classifier.load(contender.retrainings[contender.median].model).network
    return [overlay(image, heat) for image, heat in zip(images, heat_maps(network, images, predicted), strict=True)]


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image, uint8 (H, W, C), in grey with a colour: yellow where ``heat`` (H, W) is 1, violet where 0."""
    grey = image.mean(axis=2, keepdims=True)
    colour = _COLD + heat[..., None] * (_HOT - _COLD)
    return np.asarray((0.5 * grey + 0.5 * colour).round().astype(np.uint8))
