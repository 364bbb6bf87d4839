"""The reliability diagram of a model's probabilities, and their expected calibration error."""

from __future__ import annotations

import numpy as np

from bloodtune.inference.confidence import BINS, calibration_error, reliability
from figures.style import BLUE, COLUMN, GREY, SMALL, TEXT, CaptionedFigure, finish, new_figure, percent


def calibration_figure(title: str, labels: np.ndarray, probabilities: np.ndarray, mark: str) -> CaptionedFigure:
    """Draw accuracy against confidence, and a histogram of the confidence below."""
    bins = reliability(labels, probabilities)
    error = calibration_error(bins)
    figure, (axes, below) = new_figure(COLUMN, 3.4, 2, 1, sharex=True, height_ratios=[3, 1])
    confidence = [one.confidence for one in bins]
    accuracy = np.array([one.accuracy for one in bins])
    spread = np.abs(np.array([[one.low, one.high] for one in bins]).T - accuracy)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle="--")
    axes.errorbar(confidence, accuracy, yerr=spread, fmt="o", color=BLUE, markersize=4, linewidth=1, gid="reliability")
    axes.set_ylabel("accuracy", fontsize=TEXT)
    axes.set_ylim(-0.03, 1.03)
    axes.text(0.03, 0.93, f"calibration error {percent(error)}", transform=axes.transAxes, fontsize=TEXT, va="top")
    axes.text(0.98, 0.04, "below: overconfident", transform=axes.transAxes, fontsize=SMALL, color=GREY, ha="right")
    edges = np.linspace(0, 1, BINS + 1)
    below.hist(probabilities.max(axis=1), edges.tolist(), color=BLUE, alpha=0.7)
    below.set_yscale("log")
    below.set_ylabel("images", fontsize=TEXT)
    below.set_xlabel("probability of the predicted class", fontsize=TEXT)
    below.set_xlim(0, 1)
    caption = (
        f"{title[0].upper()}{title[1:]}: accuracy on the test images against the probability of the predicted class."
    )
    note = (
        "Bins have a width of 0.1, points have 95 % intervals (Wilson). The histogram counts the images per bin. "
        "The probabilities are not calibrated: predict and evaluate apply the model's temperature first. "
        f"Expected calibration error {percent(error)}."
    )
    return finish(figure, caption, note, mark)
