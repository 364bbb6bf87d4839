"""The figures of the scores: points with intervals, and published scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bloodtune.training.metrics import Interval
from bloodtune.tuning.retrained_models import Contender
from contender_labels import shared_trainings
from figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    TEXT,
    TITLE,
    VERMILLION,
    CaptionedFigure,
    finish,
    new_figure,
    panel_title,
)

Intervals = Mapping[str, Mapping[str, Interval]]  # label of a contender -> name of a metric -> interval

# Name and marker of each metric. Markers differ in shape as well as in colour.
_METRICS: dict[str, tuple[str, dict[str, Any]]] = {
    "weighted_precision": ("weighted precision", {"marker": "o", "color": BLUE}),
    "weighted_f1": ("weighted F1", {"marker": "s", "color": VERMILLION}),
    "macro_f1": ("macro-F1", {"marker": "^", "color": GREEN}),
}
_POINT: dict[str, Any] = {"markersize": 4, "linewidth": 1.2}
_PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "color": BLACK,
    "linestyle": "none",
    "markerfacecolor": "none",
    "markeredgewidth": 0.9,
    "markersize": 4.5,
}


@dataclass(frozen=True)
class _Row:
    name: str
    scores: Mapping[str, Interval]
    published: float | None  # percent


def precision_and_f1(
    families: Mapping[str, Sequence[Contender]],
    images: int,
    published_percent: Mapping[str, float],
    mark: str,
    intervals: Intervals,
) -> CaptionedFigure:
    """Draw weighted precision and weighted F1 as points with 95 % intervals, one panel per family.

    Points, not bars, because the axis does not start at 0. ``families`` maps panel titles to contenders; a family
    without contenders gets no panel. ``images`` is the size of the test split. ``published_percent`` maps labels to
    published weighted F1. ``intervals``, by label and metric, are of the seed that is median on validation, on [0, 1].

    Raises:
        ValueError: there is no contender, or a published score is not in percent.
    """
    metrics = ("weighted_precision", "weighted_f1")
    groups = {}
    for title, group in families.items():
        names = [panel_title(contender.label, contender.configuration, ":\n") for contender in group]
        if group:
            groups[title] = _rows(names, group, published_percent, intervals)
    shared = shared_trainings([contender for group in families.values() for contender in group])
    return _draw(groups, metrics, images, mark, shared)


def side_by_side(
    contenders: Mapping[str, Contender],
    images: int,
    published_percent: Mapping[str, float],
    mark: str,
    intervals: Intervals,
) -> CaptionedFigure:
    r"""Draw weighted F1 and macro-F1 of contenders by name, e.g. ``{"MLNN\n(config 3)": ..., "found": ...}``.

    All else is as in ``precision_and_f1``.
    """
    metrics = ("weighted_f1", "macro_f1")
    rows = _rows(list(contenders), list(contenders.values()), published_percent, intervals)
    return _draw({"": rows} if rows else {}, metrics, images, mark)


def _rows(
    names: Sequence[str],
    group: Sequence[Contender],
    published_percent: Mapping[str, float],
    intervals: Intervals,
) -> list[_Row]:
    rows = []
    for name, contender in zip(names, group, strict=True):
        label = contender.label
        published = published_percent.get(label)
        if published is not None and published <= 1:
            raise ValueError(f"published weighted F1 of {label!r} is {published}: expected percent, e.g. 88.56")
        rows.append(_Row(name, intervals[label], published))
    return rows


def _draw(
    groups: Mapping[str, Sequence[_Row]], metrics: Sequence[str], images: int, mark: str, shared: str = ""
) -> CaptionedFigure:
    if not groups:
        raise ValueError("a figure of scores needs at least one contender, got none")
    sizes = [len(rows) for rows in groups.values()]
    height = 0.75 + 0.36 * sum(sizes) + 0.25 * len(groups)
    figure, panels = new_figure(COLUMN, height, len(groups), sharex=True, gridspec_kw={"height_ratios": sizes})
    for axes, (title, rows) in zip(panels, groups.items(), strict=True):
        _draw_rows(axes, rows, metrics)
        axes.set_title(title, fontsize=TITLE, loc="left", weight="bold", parse_math=False)
    everyone = [row for rows in groups.values() for row in rows]
    low, high = _limits(everyone, metrics)
    panels[-1].set_xlim(low, high)
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    panels[-1].set_xlabel("score on the test split (%)", fontsize=TEXT)
    is_published = any(row.published is not None for row in everyone)
    figure.legend(
        handles=_legend(metrics, is_published),
        loc="outside upper center",
        ncols=3,
        fontsize=TEXT,
        frameon=False,
        handletextpad=0.3,
        columnspacing=1.0,
    )
    names = " and ".join(_METRICS[metric][0] for metric in metrics)
    caption = (
        f"{names[0].upper()}{names[1:]} on the {images:,} test images, with 95 % bootstrap intervals over the images."
    )
    note = (
        "Each point is of the seed that is median on validation. "
        f"{'Hollow diamonds: the published weighted F1. ' if is_published else ''}"
        f"The axis runs from {low:g} to {min(high, 100):g} %.{shared}"
    )
    return finish(figure, caption, note, mark)


def _draw_rows(axes: Axes, rows: Sequence[_Row], metrics: Sequence[str]) -> None:
    offsets = dict(zip(metrics, np.linspace(-0.17, 0.17, len(metrics)), strict=True))
    for y, row in enumerate(rows):
        for metric, offset in offsets.items():
            value, low, high = (100 * bound for bound in row.scores[metric])
            look = _POINT | _METRICS[metric][1]
            axes.plot([low, high], [y + offset] * 2, **look | {"marker": ""}, gid=f"interval {metric}")
            axes.plot([value], [y + offset], **look, gid=metric)
        if row.published is not None:
            axes.plot([row.published], [y + offsets["weighted_f1"]], **_PUBLISHED, gid="published", zorder=3)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.35, linewidth=0.4)
    axes.set_axisbelow(True)


def _legend(metrics: Sequence[str], is_published: bool) -> list[Line2D]:
    looks = [(name, _POINT | look) for name, look in (_METRICS[metric] for metric in metrics)]
    if is_published:
        looks.append(("published F1", _PUBLISHED))
    return [Line2D([], [], label=name, **look) for name, look in looks]


def _limits(rows: Sequence[_Row], metrics: Sequence[str]) -> tuple[float, float]:
    """Return the limits of the axis in percent: whole numbers around all points and intervals, at least 4 apart."""
    drawn = [100 * bound for row in rows for metric in metrics for bound in row.scores[metric]]
    drawn += [row.published for row in rows if row.published is not None]
    least, most = min(drawn), max(drawn)
    high = 100.5 if most > 99.5 else math.ceil(most + 0.4)  # room for a marker at 100
    return max(0.0, min(math.floor(least - 0.4), math.floor(high) - 4)), high
