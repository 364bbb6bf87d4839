"""What the chosen model looked at in the test images that it misclassifies: each image with its heat map."""

from __future__ import annotations

import numpy as np

from bloodtune.inference.classifier import Classifier
from bloodtune.inference.heat_map import heat_maps
from summary import Summary

_COLD, _HOT = np.array([68.0, 1.0, 84.0]), np.array([253.0, 231.0, 37.0])  # the ends of matplotlib's viridis

_SIDE = 96  # pixels; pictures are made smaller by a whole factor, so that the page of large images stays small


def explain_mistakes(summary: Summary, most: int) -> list[np.ndarray]:
    """Return pictures, uint8 (H, W, 3), of the first ``summary.mistakes`` with the heat maps of the wrong classes.

    There are at most ``most``. A picture has the size of its image if that is below 192 pixels.
    """
    rows = summary.mistakes[:most]
    contender = summary.best.contender
    images, predicted = summary.test.images[rows], summary.best.median_probabilities[rows].argmax(axis=1)
    network = Classifier.load(contender.retrainings[contender.median].model).network
    step = max(1, images.shape[1] // _SIDE)
    pairs = zip(images, heat_maps(network, images, predicted), strict=True)
    return [overlay(image[::step, ::step], heat[::step, ::step]) for image, heat in pairs]


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image, uint8 (H, W, C), in grey with a colour: yellow where ``heat`` (H, W) is 1, violet where 0."""
    grey = image.mean(axis=2, keepdims=True)
    colour = _COLD + heat[..., None] * (_HOT - _COLD)
    return np.asarray((0.5 * grey + 0.5 * colour).round().astype(np.uint8))
