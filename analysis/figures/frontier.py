"""The frontier: accuracy against parameters and against prediction speed of every retrained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from display_names import FAMILY_NAMES
from figures.style import (
    BLACK,
    GREY,
    PAGE,
    TEXT,
    TITLE,
    CaptionedFigure,
    family_colour,
    finish,
    new_figure,
)
from frontier import Point, speed_note

_HEIGHT = 3.2  # inches
_LINE, _LETTER = 1.3 * TITLE, 0.62 * TITLE  # points: height of a label, mean width of its letters
_GAP = 4  # points between a model and its label

_MARKERS = {
    "mlnn": "s",
    "cnn": "o",
    "lightweight": "^",
    "residual": "D",
    "resnet": "P",
}  # they differ in shape as well as in colour
_CHOSEN: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "color": BLACK}

_LEADER: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.5, "color": GREY, "shrinkA": 0, "shrinkB": 2}


@dataclass(frozen=True)
class _Side:
    """One panel: the value of each model on the x axis, and the models of its frontier by rising accuracy.

    ``free`` is the direction, -1 (left) or 1 (right), in which no model is above the frontier: names are written there.
    """

    axes: Axes
    x: Sequence[float]
    frontier: Sequence[tuple[float, float, str]]  # x, accuracy in percent, label
    free: int


def frontier(points: Sequence[Point], chosen: str, images: int, mark: str) -> CaptionedFigure:
    """Draw test accuracy against parameters (left) and against images per second (right), both logarithmic.

    ``points`` has at least one model, ``chosen`` is the label of the chosen one, ``images`` the size of the test split.
    """
    figure, (left, right) = new_figure(PAGE, _HEIGHT, 1, 2, sharey=True)
    parameters = [float(point.parameters) for point in points]
    speeds = [point.speed.images_per_second for point in points]
    small, fast = [point.is_small for point in points], [point.is_fast for point in points]
    sides = (
        _Side(left, parameters, _on_frontier(points, parameters, small), -1),
        _Side(right, speeds, _on_frontier(points, speeds, fast), 1),
    )
    for side, title in zip(sides, ("parameters", "images predicted per second on one core"), strict=True):
        _draw(side, points, chosen)
        side.axes.set_xlabel(f"{title} (logarithmic)", fontsize=TEXT)
    left.set_ylabel("test accuracy (%)", fontsize=TEXT)
    figure.legend(
        handles=_legend(points),
        loc="outside upper center",
        ncols=7,
        fontsize=TEXT,
        frameon=False,
        handletextpad=0.3,
        columnspacing=1.2,
    )
    caption = f"Accuracy on the {images:,} test images against parameters and prediction speed of every configuration."
    note = (
        "Steps join the models that no other one beats in both values; these are named. Bars: 95 % bootstrap intervals "
        f"over the test images. {speed_note(points)} Each point is the seed that is median on validation."
    )
    drawn = finish(figure, caption, note, mark)
    figure.draw_without_rendering()  # computes the layout, and with it the size of the panels
    _make_room(sides, points)
    for side in sides:
        _label(side)
    return drawn


def _on_frontier(points: Sequence[Point], x: Sequence[float], on: Sequence[bool]) -> list[tuple[float, float, str]]:
    found = [(at, 100 * one.accuracy.value, one.label) for one, at, is_on in zip(points, x, on, strict=True) if is_on]
    return sorted(found, key=lambda place: place[1])


def _draw(side: _Side, points: Sequence[Point], chosen: str) -> None:
    axes = side.axes
    for point, x in zip(points, side.x, strict=True):
        value, low, high = (100 * bound for bound in point.accuracy)
        look = _marker(point.family)
        axes.plot([x, x], [low, high], color=look["color"], linewidth=0.8, alpha=0.6, gid="interval")
        axes.plot(x, value, linestyle="none", markersize=4.5, gid="model", **look)
        if point.label == chosen:
            axes.plot(x, value, linestyle="none", gid="chosen", **_CHOSEN)
    steps = sorted((x, accuracy) for x, accuracy, _ in side.frontier)
    drawstyle = "steps-post" if side.free < 0 else "steps-pre"
    axes.plot(*zip(*steps, strict=True), color=GREY, linewidth=0.9, drawstyle=drawstyle, zorder=1, gid="frontier")
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25, linewidth=0.4)


def _make_room(sides: Sequence[_Side], points: Sequence[Point]) -> None:
    """Set the limits of both panels so that the names beside the models fit."""
    first = sides[0].axes
    area, scale = first.get_window_extent(), 72 / first.figure.dpi
    bottom, top = (100 * end(point.accuracy[i] for point in points) for end, i in ((min, 1), (max, 2)))
    span = max(top - bottom, 1.0)
    for side in sides:
        for below, (_, accuracy, _) in enumerate(side.frontier):  # at worst all later names stand above this model
            used = _GAP + (len(side.frontier) - below) * _LINE
            span = max(span, (accuracy - bottom) / max(1 - used / (area.height * scale), 0.2))
        places = -side.free * np.log10(side.x)  # the names extend to the left of these places
        low, high = places.min() - 0.1, places.max() + 0.1
        for x, _, name in side.frontier:
            share = min(0.8, (_GAP + _LETTER * len(name)) / (area.width * scale))
            low = min(low, (-side.free * np.log10(x) - share * high) / (1 - share))
        left, right = sorted(10 ** (-side.free * np.array([low, high])))
        side.axes.set_xlim(left, right)
        side.axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low < 2.5 else (1,)))
    first.set_ylim(bottom - 0.05 * span, bottom + 1.02 * span)
    first.set_yticks([tick for tick in first.get_yticks()[1:-1] if tick <= 100])  # the outer ones are beyond the axis


def _label(side: _Side) -> None:
    """Name the models of the frontier on its free side, from the lowest up; a line leads to a name that had to move."""
    scale, floor = 72 / side.axes.figure.dpi, -np.inf
    for x, accuracy, name in side.frontier:
        own = scale * side.axes.transData.transform((x, accuracy))[1]
        floor = max(own + _GAP, floor + _LINE)
        place: dict[str, Any] = {
            "xy": (x, accuracy),
            "xytext": (side.free * _GAP, floor - own),
            "textcoords": "offset points",
        }
        if floor - own > _GAP:
            side.axes.annotate("", **place, arrowprops=_LEADER)
        align = "right" if side.free < 0 else "left"
        side.axes.annotate(name, **place, ha=align, va="bottom", fontsize=TITLE, parse_math=False, gid="name")


def _marker(family: str) -> dict[str, Any]:
    return {"color": family_colour(family), "marker": _MARKERS.get(family, "v")}


def _legend(points: Sequence[Point]) -> list[Line2D]:
    families = dict.fromkeys(point.family for point in points)
    return [
        *(
            Line2D([], [], linestyle="none", markersize=4.5, label=FAMILY_NAMES[name], **_marker(name))
            for name in families
        ),
        Line2D([], [], linestyle="none", label="chosen", **_CHOSEN | {"markersize": 7}),
        Line2D([], [], color=GREY, linewidth=0.9, label="frontier"),
    ]
