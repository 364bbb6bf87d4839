"""The figures of the search: best score so far, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, TrialRecord
from contender_labels import is_published
from display_names import FAMILY_NAMES
from figures.error_scale import spread, use_error_scale
from figures.hover import hover_titles
from figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    FAMILY_COLOURS,
    GREY,
    SMALL,
    TEXT,
    VERMILLION,
    CaptionedFigure,
    family_colour,
    finish,
    new_figure,
)
from summary_data import SearchRecords

_DASHES = {"mlnn": ":", "cnn": "--", "lightweight": "-."}  # lines of families differ in dashes as well as in colour
_SCORE = "validation macro-F1 (log error)"
_LINES = {"search": (BLUE, "-"), "random control": (GREY, "--")}
# Marker of each state, whether it is filled, and its name.
_ENDS = {
    COMPLETE: ("o", True, "complete"),
    PRUNED: ("o", False, "pruned at a rung"),
    FAILED: ("x", True, "failed"),
}


def best_so_far(search: SearchRecords, mark: str, control: SearchRecords | None = None) -> CaptionedFigure:
    """Draw the best validation macro-F1 so far against the epochs spent, with trials in the order in which they ended.

    The best published configuration among the trials is marked. ``control`` is drawn as a second line.
    """
    figure, (axes,) = new_figure(COLUMN, 2.5)
    progress = {"search": _progress(search.trials)}
    if control is not None:
        progress["random control"] = _progress(control.trials)
    progress = {name: lines for name, lines in progress.items() if np.isfinite(lines[2]).any()}
    highest = max(progress, key=lambda name: float(progress[name][2][-1]), default="")
    for name, (spent, _, best) in progress.items():
        _draw_best(axes, name, spent, best, above=name == highest)
    lows = [float(best[np.isfinite(best)][0]) for _, _, best in progress.values()]
    hidden = _draw_trials(axes, search.trials, min(lows, default=0.0))
    published = _mark_published(axes, search.trials)
    use_error_scale(axes)
    axes.set_xlabel("epochs spent (all trials)", fontsize=TEXT)
    axes.set_ylabel(_SCORE, fontsize=TEXT)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25, linewidth=0.4)
    axes.set_axisbelow(True)
    figure.legend(
        loc="outside upper center",
        ncols=2,
        fontsize=TEXT,
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.0,
    )
    caption = f"Best validation macro-F1 so far against the epochs spent by the {len(search.trials)} trials."
    note = (
        f"Trials are in the order in which they ended. Dots are trials at their best epoch{hidden}.{published}"
        f"{f' Dashed: the {len(control.trials)} trials of a random sampler.' if control is not None else ''}"
    )
    return finish(figure, caption, note, mark)


def learning_curves(search: SearchRecords, rungs: Sequence[int], mark: str) -> CaptionedFigure:
    """Draw validation macro-F1 against epoch, one line per trial, up to the trial's last epoch.

    ``rungs`` are the epochs at which ASHA decides, drawn as vertical lines.
    """
    figure, (axes,) = new_figure(COLUMN, 2.9)
    trials = search.trials
    curves = dict(iter(search.curves.groupby("trial")))
    for record in trials:
        if record.trial not in curves:
            continue
        curve, look = curves[record.trial].sort_values("epoch"), _line(record.configuration.family)
        gid = f"trial {record.trial}"
        axes.plot(curve.epoch, curve.val_macro_f1, linewidth=0.8, alpha=0.8, gid=gid, **look)
        last = curve[np.isfinite(curve.val_macro_f1)].tail(1)
        axes.plot(last.epoch, last.val_macro_f1, linestyle="none", **_end(record.state, look["color"]))
    longest = max((int(curve.epoch.max()) for curve in curves.values()), default=1)
    _draw_rungs(axes, rungs, max(longest, *rungs, 2))
    scores = np.array([score for curve in curves.values() for score in curve.val_macro_f1 if np.isfinite(score)])
    axes.set_ylim(spread(scores.min(initial=1.0), scores.max(initial=0.0), 0.03, 0.03))
    use_error_scale(axes)
    axes.set_xlabel("epoch (logarithmic)", fontsize=TEXT)
    axes.set_ylabel(_SCORE, fontsize=TEXT)
    axes.grid(axis="y", alpha=0.25, linewidth=0.4)
    figure.legend(
        handles=_curve_legend(trials, rungs),
        loc="outside upper center",
        ncols=2,
        fontsize=TEXT,
        frameon=False,
        handlelength=2.4,
    )
    states = ", ".join(f"{n} {s}" for s in _ENDS if (n := sum(t.state == s for t in trials)))
    caption = f"Validation macro-F1 of the {len(trials)} trials ({states}) against the epoch, one line per trial."
    listed = ", ".join(map(str, rungs))
    note = f"The vertical lines are the rungs ({listed}) at which ASHA decides which trials continue." if rungs else ""
    return finish(figure, caption, note, mark, hover_titles(trials))


def _progress(trials: Sequence[TrialRecord]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs spent, the trial's score and the best score so far, after each trial; NaN without a score."""
    spent = np.cumsum([record.epochs for record in trials])
    scores = np.array([_score(record) for record in trials], dtype=float)
    return spent, scores, np.fmax.accumulate(scores) if len(scores) else scores


def _draw_best(axes: Axes, name: str, spent: np.ndarray, best: np.ndarray, above: bool) -> None:
    """Draw a step line from the first score on, with the last value above or below its end."""
    colour, line = _LINES[name]
    known = np.isfinite(best)
    axes.step(spent[known], best[known], line, where="post", color=colour, linewidth=1.4, label=name, gid=name)
    axes.plot(spent[-1], best[-1], "o", color=colour, markersize=3)
    axes.annotate(
        f"{best[-1]:.4f}",
        (spent[-1], best[-1]),
        xytext=(0, 4 if above else -4),
        textcoords="offset points",
        ha="right",
        va="bottom" if above else "top",
        fontsize=SMALL,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )


def _score(record: TrialRecord) -> float:
    value = record.best_val_macro_f1
    return math.nan if value is None or record.state == FAILED else value  # a failed trial cannot be the best


def _draw_trials(axes: Axes, trials: Sequence[TrialRecord], low: float) -> str:
    """Draw the trials' scores; scores far below the lowest first score become triangles at the lower edge."""
    spent, scores, best = _progress(trials)
    top = float(np.nanmax(best)) if np.isfinite(best).any() else 1.0
    bottom, high = spread(low, top, 0.35, 0.18)
    axes.set_ylim(bottom, high)
    seen = scores >= bottom
    axes.plot(
        spent[seen],
        scores[seen],
        ".",
        color=BLUE,
        alpha=0.5,
        markersize=4,
        markeredgewidth=0,
        label="trial",
    )
    below = scores < bottom
    if not below.any():
        return ""
    axes.plot(
        spent[below],
        np.full(int(below.sum()), bottom),
        "v",
        color=BLUE,
        alpha=0.5,
        markersize=4,
        markeredgewidth=0,
        clip_on=False,
        gid="below",
    )
    return f", triangles the trials below the axis ({int(below.sum())})"


def _mark_published(axes: Axes, trials: Sequence[TrialRecord]) -> str:
    spent, scores, _ = _progress(trials)
    published = [i for i, record in enumerate(trials) if is_published(record.configuration) and np.isfinite(scores[i])]
    if not published:
        return ""
    i = max(published, key=lambda index: float(scores[index]))
    axes.axhline(float(scores[i]), color=VERMILLION, linewidth=0.7, linestyle=":", zorder=1)
    axes.plot(
        spent[i],
        scores[i],
        "D",
        color=BLACK,
        markersize=5,
        markerfacecolor="none",
        markeredgewidth=0.9,
        label="best published configuration",
        gid="published",
    )
    return f" Diamond and dotted line: the best published configuration in this search ({trials[i].label})."


def _draw_rungs(axes: Axes, rungs: Sequence[int], longest: int) -> None:
    for rung in rungs:
        axes.axvline(rung, color=GREY, linewidth=0.7, zorder=1, gid="rung")
    axes.set_xscale("log")
    axes.set_xlim(0.93, longest * 1.08)
    ticks = {1, *rungs}
    if longest > 1.2 * max(ticks):  # else the numbers would overlap
        ticks.add(longest)
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda epoch, _: f"{epoch:g}")


def _end(state: str, colour: str) -> dict[str, Any]:
    marker, filled, _ = _ENDS[state]
    face = colour if filled else "white"
    return {
        "marker": marker,
        "color": colour,
        "markerfacecolor": face,
        "markersize": 3,
        "markeredgewidth": 0.7,
    }


def _line(family: str) -> dict[str, Any]:
    return {"color": family_colour(family), "linestyle": _DASHES.get(family, "-")}


def _curve_legend(trials: Sequence[TrialRecord], rungs: Sequence[int]) -> list[Line2D]:
    found = {trial.configuration.family for trial in trials}
    families = [*(family for family in FAMILY_COLOURS if family in found), *sorted(found - FAMILY_COLOURS.keys())]
    states = [state for state in _ENDS if any(t.state == state for t in trials)]
    return [
        *(Line2D([], [], linewidth=1, label=FAMILY_NAMES[family], **_line(family)) for family in families),
        *(Line2D([], [], linestyle="none", label=_ENDS[state][2], **_end(state, BLACK)) for state in states),
        *(Line2D([], [], color=GREY, linewidth=0.7, label="rung") for _ in rungs[:1]),
    ]
