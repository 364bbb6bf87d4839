"""The figure of calibration: predicted probabilities against the share that is right."""

import numpy as np
import pytest

from bloodtune.inference.confidence import calibration_error, reliability
from figure_fixtures import drawn_texts
from figures.calibration import calibration_figure


def model(confidence: float, images: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of a model that is as sure of every image and has ``right`` of them right."""
    labels = np.array([0] * right + [1] * (images - right))
    return labels, np.tile([confidence, 1 - confidence], (images, 1))


def test_bins_hold_the_images_of_their_tenth() -> None:
    labels, probabilities = model(0.95, 10, 9)
    more_labels, more = model(0.65, 4, 1)
    low, high = reliability(np.append(labels, more_labels), np.vstack([probabilities, more]))
    assert (low.images, low.confidence, low.accuracy) == (4, pytest.approx(0.65), 0.25)
    assert (high.images, high.confidence, high.accuracy) == (10, pytest.approx(0.95), 0.9)
    assert (high.low, high.high) == pytest.approx((0.596, 0.982), abs=0.001), "Wilson's interval of 9 of 10"


def test_a_certain_image_is_in_the_last_bin() -> None:
    (only,) = reliability(*model(1.0, 3, 3))
    assert (only.images, only.accuracy) == (3, 1)


def test_the_error_is_the_mean_gap_over_images() -> None:
    assert calibration_error(reliability(*model(0.95, 20, 19))) == pytest.approx(0)
    assert calibration_error(reliability(*model(0.95, 20, 10))) == pytest.approx(0.45)
    labels, probabilities = (np.concatenate(pair) for pair in zip(model(0.95, 30, 30), model(0.55, 10, 0), strict=True))
    assert calibration_error(reliability(labels, probabilities)) == pytest.approx((30 * 0.05 + 10 * 0.55) / 40)


def test_the_figure_states_the_error() -> None:
    drawn = calibration_figure("chosen model", *model(0.95, 20, 10), "x")
    assert drawn.note.endswith("Expected calibration error 45.0 %.")
    assert "are not calibrated: predict and evaluate apply the model's temperature first" in drawn.note
    assert drawn.caption.startswith("Chosen model: ")
    assert "calibration error 45.0 %" in [text.get_text() for text in drawn_texts(drawn.figure)]
