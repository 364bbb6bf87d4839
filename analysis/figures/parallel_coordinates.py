"""Parallel coordinates: every trial of a search as a line through its hyperparameters to its score."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap

from bloodtune.run.records import TrialRecord, scored
from bloodtune.space.configuration import FIELD_NAMES
from figures.error_scale import error_norm, error_ticks
from figures.hover import hover_titles
from figures.style import BLUE, PAGE, SMALL, TEXT, VERMILLION, CaptionedFigure, finish, new_figure
from summary_data import SearchRecords

MOST_COLUMNS = 7  # without the score; with more columns their names overlap
_SCORES = LinearSegmentedColormap.from_list("scores", ["#D5DDE3", "#7FB4DA", BLUE, VERMILLION])
_ABSENT = -0.12  # height of a line at an axis for which its configuration has no value


@dataclass(frozen=True)
class _Column:
    """A hyperparameter's axis: heights of its values on [0, 1], and heights of the values to label."""

    name: str
    places: Mapping[Any, float]
    ticks: Mapping[str, float]


def parallel_coordinates(search: SearchRecords, importances: Mapping[str, float], mark: str) -> CaptionedFigure:
    """Draw one line per trial through the most important hyperparameters, coloured by score, the best trial on top.

    Without importances, the hyperparameters are the first ones that vary.
    """
    trials = sorted(scored(search.trials), key=lambda record: record.best_val_macro_f1 or 0.0)
    names = sorted(importances, key=lambda name: -importances[name] if math.isfinite(importances[name]) else 0.0)
    names = names or list(FIELD_NAMES)
    columns = [column for name in names if (column := _column(name, trials))][:MOST_COLUMNS]
    figure, (axes,) = new_figure(PAGE, 2.9)
    scores = [record.best_val_macro_f1 or 0.0 for record in trials]
    low, high = (float(np.quantile(scores, 0.25)), max(scores)) if scores else (0.0, 1.0)
    norm = error_norm(low, high)
    for record, score in zip(trials, scores, strict=True):
        values = record.configuration.to_mapping()
        heights = [column.places.get(_key(values.get(column.name)), _ABSENT) for column in columns]
        axes.plot(
            range(len(columns) + 1),
            [*heights, float(norm(score))],
            color=_SCORES(norm(score)),
            linewidth=1.6 if score == high else 0.7,
            alpha=0.9,
            gid=f"trial {record.trial}",
        )
    _draw_axes(axes, columns)
    bar = figure.colorbar(ScalarMappable(norm, _SCORES), ax=axes, fraction=0.03, pad=0.01, extend="min")
    bar.set_ticks(ticks := error_ticks(low, high), labels=[f"{tick:.4g}" for tick in ticks])
    bar.ax.tick_params(labelsize=TEXT, width=0.6, length=2.5)
    bar.set_label("best validation macro-F1 (log error)", fontsize=TEXT)
    caption = f"The {len(trials)} trials with a score, from their hyperparameters to their best validation macro-F1."
    note = (
        f"{'The hyperparameters are the most important ones. ' if importances else ''}The best trial is thick. "
        "A line that passes below an axis has no such hyperparameter. "
        "Heights and colours of the scores follow the logarithm of the error and begin at the scores' lower quartile."
    )
    return finish(figure, caption, note, mark, hover_titles(trials))


def _key(value: Any) -> Any:
    return str(value) if isinstance(value, bool) else value


def _column(name: str, trials: Sequence[TrialRecord]) -> _Column | None:
    """Return the axis of a hyperparameter, or None if it has fewer than two values."""
    values = {_key(record.configuration.to_mapping().get(name)) for record in trials} - {None}
    if len(values) < 2:
        return None
    numbers = all(isinstance(value, (int, float)) for value in values)
    if not numbers or len(values) <= 5:
        order = sorted(values) if numbers else sorted(values, key=str)
        places = {value: index / (len(order) - 1) for index, value in enumerate(order)}
        return _Column(name, places, {_text(value): place for value, place in places.items()})
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        places = {v: math.log(v / low) / math.log(high / low) for v in values}
    else:
        places = {v: (v - low) / (high - low) for v in values}
    return _Column(name, places, {_text(low): 0.0, _text(high): 1.0})


def _text(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else textwrap.fill(str(value).replace("_", " "), 13)


def _draw_axes(axes: Axes, columns: Sequence[_Column]) -> None:
    for index, column in enumerate(columns):
        axes.axvline(index, color="black", linewidth=0.6, zorder=0)
        for text, place in column.ticks.items():
            axes.annotate(
                text,
                (index, place),
                xytext=(2, 0),
                textcoords="offset points",
                fontsize=SMALL,
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
                parse_math=False,
            )
    names = [column.name.replace("_", " ").replace(" ", "\n", 1) for column in columns]
    axes.set_xticks(range(len(columns) + 1), [*names, "score"], fontsize=TEXT, parse_math=False)
    axes.set_yticks([])
    axes.set_xlim(-0.05, len(columns))
    axes.set_ylim(_ABSENT - 0.06, 1.06)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
