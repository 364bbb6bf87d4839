"""The figure of the frontier: which models are drawn, joined and named."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

from figure_fixtures import crowded_points, lines_of
from figures.frontier import frontier
from figures.style import CaptionedFigure


@pytest.fixture(scope="module")
def drawn() -> CaptionedFigure:
    return frontier(crowded_points(), "search #45, 81 epochs", 3421, "")


def test_all_models_are_drawn_with_their_intervals(drawn: CaptionedFigure) -> None:
    assert len(lines_of(drawn, "model")) == len(lines_of(drawn, "interval")) == 2 * 10
    places = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines_of(drawn, "model")}
    assert {(422_344, 94.1), (14_200, 94.1), (61_000, 96.3)} <= {(x, round(y, 3)) for x, y in places}
    assert {line.axes.get_xscale() for line in lines_of(drawn, "model")} == {"log"}
    (left, _) = drawn.figure.axes
    assert max(left.get_yticks()) <= 100


def test_the_steps_join_the_frontier_of_each_panel(drawn: CaptionedFigure) -> None:
    small, fast = lines_of(drawn, "frontier")
    assert small.get_xdata().tolist() == [61_000, 99_000, 123_000, 216_968]
    assert small.get_drawstyle() == "steps-post", "up to the next model the smaller one is the best"
    assert fast.get_xdata().tolist() == [545, 900, 1_300, 2_200, 14_200, 14_601, 71_000, 71_000]
    assert fast.get_drawstyle() == "steps-pre"


def test_the_models_of_the_frontier_are_named_and_no_others(drawn: CaptionedFigure) -> None:
    named = [{text.get_text() for text in axes.findobj(Text) if text.get_gid() == "name"} for axes in drawn.figure.axes]
    top = {"search #7", "search #31", "search #12", "search #45, 81 epochs"}
    assert named == [top, top | {"CNN config 2", "CNN config 4", "MLNN config 1", "MLNN config 3"}]


def test_the_chosen_model_is_ringed_in_both_panels(drawn: CaptionedFigure) -> None:
    rings = lines_of(drawn, "chosen")
    assert [float(ring.get_xdata()[0]) for ring in rings] == [216_968, 545]
