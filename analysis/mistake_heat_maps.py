"""Heat maps of the test images that the chosen model misclassifies: the pixels that decided for the wrong class."""

from __future__ import annotations

import numpy as np

from bloodtune.inference.classifier import Classifier
from bloodtune.inference.heat_map import heat_pictures
from summary_data import Summary


def explain_mistakes(summary: Summary, most: int) -> list[np.ndarray]:
    """Return ``heat_pictures`` of the first ``summary.mistakes``, ``most`` at most, for the wrong classes."""
    rows = summary.mistakes[:most]
    contender = summary.best.contender
    images, predicted = summary.test.images[rows], summary.best.median_probabilities[rows].argmax(axis=1)
    network = Classifier.load(contender.retrainings[contender.median].model).network
    return heat_pictures(network, images, predicted)
