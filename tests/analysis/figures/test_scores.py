"""The figures of scores: values, intervals and what was published."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bloodtune.training.metrics import Interval
from contender_fixtures import CNN, INTERVALS, MARK, MLNN, PUBLISHED, SHOWN, contenders_of
from figure_fixtures import lines_of
from figures.scores import precision_and_f1, side_by_side
from figures.style import CaptionedFigure


def test_precision_and_f1_draws_the_intervals_given_and_what_was_published() -> None:
    families = {"MLNN": contenders_of(MLNN), "CNN": contenders_of(CNN), "none": []}

    drawn = precision_and_f1(families, 3421, PUBLISHED, MARK, INTERVALS)

    assert [axes.get_title(loc="left") for axes in drawn.figure.axes] == ["MLNN", "CNN"]
    value, *bounds = INTERVALS["MLNN config 1"]["weighted_f1"]
    assert lines_of(drawn, "weighted_f1")[0].get_xdata()[0] == pytest.approx(100 * value)
    np.testing.assert_allclose(
        lines_of(drawn, "interval weighted_f1")[0].get_xdata(), [100 * bound for bound in bounds]
    )
    assert [line.get_xdata()[0] for line in lines_of(drawn, "published")] == [88.56, 88.57, 95.04]
    low, high = drawn.figure.axes[0].get_xlim()
    assert f"The axis runs from {low:g} to {high:g} %." in drawn.note
    assert "the 3,421 test images, with 95 % bootstrap" in drawn.caption
    assert "the seed that is median on validation" in drawn.note


def test_precision_and_f1_without_published_values_does_not_speak_of_them() -> None:
    metrics = {"weighted_precision": Interval(0.9, 0.88, 0.92), "weighted_f1": Interval(0.8, 0.7, 0.85)}

    drawn = precision_and_f1({"MLNN": contenders_of(MLNN[:1])}, 100, {}, MARK, {"MLNN config 1": metrics})

    assert lines_of(drawn, "weighted_precision")[0].get_xdata()[0] == pytest.approx(90)
    np.testing.assert_allclose(lines_of(drawn, "interval weighted_f1")[0].get_xdata(), [70, 85])
    assert "published" not in drawn.description


def test_side_by_side_draws_its_rows_under_the_names_given() -> None:
    drawn = side_by_side(SHOWN, 3421, PUBLISHED, MARK, INTERVALS)

    (axes,) = drawn.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(SHOWN)
    macro = INTERVALS["CNN config 2"]["macro_f1"].value
    assert lines_of(drawn, "macro_f1")[1].get_xdata()[0] == pytest.approx(100 * macro)
    assert [line.get_xdata()[0] for line in lines_of(drawn, "published")] == [88.57, 95.04]


@pytest.mark.parametrize("draw", [precision_and_f1, side_by_side])
def test_scores_of_nothing_say_so(draw: Callable[..., CaptionedFigure]) -> None:
    with pytest.raises(ValueError, match="needs at least one contender, got none"):
        draw({}, 3421, {}, MARK, {})


def test_published_score_that_is_not_percent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'MLNN config 1' is 0\.8856: expected percent, e\.g\. 88\.56"):
        precision_and_f1({"MLNN": contenders_of(MLNN)}, 3421, {"MLNN config 1": 0.8856}, MARK, INTERVALS)
