"""All figures of the summary: every text can be read, and each names its data."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bloodtune.run.directory import RunDirectory
from contender_fixtures import (
    BY_LABEL,
    CNN,
    INTERVALS,
    LABELS,
    MARK,
    MLNN,
    NAMES,
    PUBLISHED,
    SHOWN,
    contenders_of,
    make_importance,
    random_images,
)
from figure_fixtures import crowded_points, drawn_texts, texts_of
from figures.classification import confusion_matrices, first_samples, predictions, training_loss
from figures.frontier import frontier
from figures.importance import importance_figure
from figures.scores import precision_and_f1, side_by_side
from figures.search import best_so_far, learning_curves
from figures.style import CaptionedFigure
from summary_data import SearchRecords
from summary_fixtures import RUNGS, fake_contenders

PATH_NAMES = (
    "adipose",
    "background",
    "debris",
    "lymphocytes",
    "mucus",
    "smooth muscle",
    "normal colon mucosa",
    "cancer-associated stroma",
    "colorectal adenocarcinoma epithelium",
)
FEW, NINE = fake_contenders(classes=2, images=60), fake_contenders(classes=9, images=9000)


def _all_figures(run: SearchRecords, control: SearchRecords) -> dict[str, Callable[[], CaptionedFigure]]:
    (few, few_labels, few_names), (nine, nine_labels, _) = FEW, NINE
    light = BY_LABEL["lightweight CNN"]
    some = np.arange(30) % 8
    published = {"MLNN": contenders_of(MLNN), "CNN": contenders_of(CNN)}
    return {
        "training loss": lambda: training_loss("MLNN", contenders_of(MLNN), MARK),
        "training loss of three": lambda: training_loss("CNN", contenders_of(CNN[:3]), MARK),
        "scores": lambda: precision_and_f1(published, 3421, PUBLISHED, MARK, INTERVALS),
        "frontier": lambda: frontier(crowded_points(), "search #45, 81 epochs", 3421, MARK),
        "frontier of one": lambda: frontier(crowded_points()[:1], "MLNN config 1", 3421, MARK),
        "side by side": lambda: side_by_side(SHOWN, 3421, PUBLISHED, MARK, INTERVALS),
        "four matrices": lambda: confusion_matrices("MLNN", MLNN, LABELS, NAMES, MARK),
        "one matrix": lambda: confusion_matrices("lightweight CNN", [light], LABELS, NAMES, MARK),
        "matrices of 2": lambda: confusion_matrices("MLNN", few[:4], few_labels, few_names, MARK),
        "matrix of 2": lambda: confusion_matrices("found", few[-1:], few_labels, few_names, MARK),
        "matrix of 9": lambda: confusion_matrices("found", nine[-1:], nine_labels, PATH_NAMES, MARK),
        "samples": lambda: first_samples(random_images(12, 28, 28, 3), some[:12, None], NAMES, MARK),
        "samples, long names": lambda: first_samples(random_images(12, 28, 28), 8 - some[:12], PATH_NAMES, MARK),
        "predictions": lambda: predictions("CNN", random_images(30, 28, 28, 3), some, some[::-1], NAMES, MARK),
        "predictions, one class": lambda: predictions(
            "CNN", random_images(30, 28, 28, 1), 0 * some + 3, 0 * some + 3, NAMES, MARK
        ),
        "best so far": lambda: best_so_far(run, MARK, control),
        "learning curves": lambda: learning_curves(run, RUNGS, MARK),
        "importance": lambda: importance_figure([make_importance("cnn")], MARK),
        "importance, three families": lambda: importance_figure(
            [make_importance(f) for f in ("cnn", "mlnn", "own")], MARK
        ),
    }


FIGURES = list(_all_figures(SearchRecords("", {}, (), pd.DataFrame()), SearchRecords("", {}, (), pd.DataFrame())))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_legible_and_names_its_synthetic_data(
    name: str, run: RunDirectory, control: RunDirectory
) -> None:
    drawn = _all_figures(SearchRecords.read(run), SearchRecords.read(control))[name]()

    texts = drawn_texts(drawn.figure)

    (footer,) = (text for text in texts if text.get_gid() == "data")
    assert footer.get_text() == MARK == "Synthetic stand-in for BloodMNIST"
    assert footer.get_weight() == "bold"
    assert drawn.caption.endswith(".") and ". " not in drawn.caption, "one sentence"
    assert drawn.description.endswith(f"Data: {MARK}.") and "MD5" not in drawn.description
    canvas, boxes = drawn.figure.bbox, [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1, text
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1, text
        assert text.get_fontsize() >= 4.5, text
    for (one, first), (other, second) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert width <= 1 or height <= 1, (one, other)


def test_a_figure_of_photographs_does_not_call_them_synthetic() -> None:
    drawn = importance_figure([make_importance("cnn")], "bloodmnist_rebuilt, rebuilt split")

    assert "synthetic" not in drawn.description
    assert texts_of(drawn, "data")[0].get_weight() == "normal"
    assert texts_of(importance_figure([make_importance("cnn")], ""), "data") == [], "official data has no mark"
