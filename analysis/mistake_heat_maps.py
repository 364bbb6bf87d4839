"""What the chosen model looked at in the test images that it misclassifies: each image with its heat map."""

from __future__ import annotations

import numpy as np

from bloodtune.inference.classifier import Classifier
from bloodtune.inference.heat_map import heat_maps
from summary_data import Summary

# From dark to bright like matplotlib's inferno, whose order survives grey print and every colour blindness.
_HEAT = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLOURS = np.array([[22, 11, 57], [87, 16, 110], [188, 55, 84], [249, 142, 9], [246, 215, 70]])

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
    """Return the colours of ``heat`` (H, W), 0 to 1, as uint8 (H, W, 3), darker where the image (H, W, C) is dark."""
    grey = image.mean(axis=2) / 255
    colours = np.stack([np.interp(heat, _HEAT, channel) for channel in _COLOURS.T], axis=2)
    return np.asarray((colours * (0.5 + 0.5 * grey[..., None])).round().astype(np.uint8))
