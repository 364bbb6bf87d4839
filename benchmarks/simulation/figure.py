"""Figure of a comparison: regret against epochs, one panel per collection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulation.comparison import LEVELS, Outcomes, mean_curve
from simulation.field import ALGORITHMS, DEFAULT, NEW, REFERENCE
from simulation.outcome import EPOCHS

GREY = "#9a9a9a"
# Three lines in colour; all others are grey.
COLOURS = {REFERENCE: "#d1495b", DEFAULT: "#2e6f95", NEW: "#2a9d4e"}
SHOWN = ("random", "random-asha", "random-waiting")  # in grey
POINTS = 60


def draw(found: Mapping[str, Outcomes], file: Path) -> None:
    """Save the figure; ``found`` has the outcomes per collection."""
    matplotlib.use("Agg")
    figure = Figure(figsize=(4.2 * min(len(found), 2), 3.4 * -(-len(found) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(found) // 2), min(len(found), 2), squeeze=False)
    for axes in panels.flat[len(found) :]:
        axes.set_visible(False)
    for axes, (collection, outcomes) in zip(panels.flat, found.items(), strict=False):
        _panel(axes, collection, outcomes)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    figure.savefig(file, dpi=120)


def _panel(axes: Axes, collection: str, outcomes: Outcomes) -> None:
    styles = ["-", "--", ":"]
    for name in (*SHOWN, *COLOURS):
        if name not in outcomes:
            continue
        colour = COLOURS.get(name, GREY)
        style = styles[SHOWN.index(name)] if colour == GREY else "-"
        costs, (low, middle, high) = regret_by_epochs(outcomes[name])
        axes.plot(
            costs, middle, style, color=colour, label=ALGORITHMS[name].title, linewidth=1.2 if colour == GREY else 2
        )
        if colour != GREY:
            axes.fill_between(costs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    ticks = [50, 100, 200, 500, 1000, 2000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_title(f"{collection} ({len(next(iter(outcomes.values())))} tasks)", fontsize=10, loc="left")
    axes.set_xlabel("epochs, the retraining of 3 finalists included", fontsize=9)
    axes.set_ylabel("regret (1: median, 0: best of 3,000)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def regret_by_epochs(by_task: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return costs in epochs, and low, middle and high of the mean regret over searches and tasks at each."""
    first = max(by[:, 0, EPOCHS].max() for by in by_task.values())
    last = min(by[:, -2, EPOCHS].max() for by in by_task.values())
    costs = np.geomspace(first, max(last, first * 1.01), POINTS)
    return costs, np.percentile(mean_curve(by_task, costs, EPOCHS), LEVELS, axis=0)
