"""Figure of a comparison: regret against epochs, one panel per collection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from simulation.comparison import LEVELS, Outcomes, cost_ratio, mean_curve
from simulation.field import DEFAULT, REFERENCE
from simulation.outcome import EPOCHS

# The algorithms that are shown, with the colours of their lines.
COLOURS = {"random-asha": "#9a9a9a", REFERENCE: "#d1495b", DEFAULT: "#2a9d4e"}
LABELS = {
    "random-asha": "random + ASHA",
    REFERENCE: "OptunaSearch + ASHA, mended",
    DEFAULT: "the default",
}
NAMES = {"taskset": "TaskSet", "imagenet": "ImageNet", "lcbench": "LCBench"}
TICKS = (100, 200, 400, 800)
SPAN = 84, 1200  # epochs
POINTS = 60


def draw(found: Mapping[str, Outcomes], file: Path) -> None:
    """Save the figure, 1,200 pixels wide; ``found`` has the outcomes per collection."""
    matplotlib.use("Agg")
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (collection, outcomes) in zip(panels, found.items(), strict=True):
        _panel(axes, collection, outcomes)
    panels[0].set_ylabel("regret (0: best of 3,000; 1: median)", fontsize=9)
    figure.supxlabel("epochs, those of the three finalists' retraining included", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    figure.savefig(file, dpi=150)


def _panel(axes: Axes, collection: str, outcomes: Outcomes) -> None:
    for name, colour in COLOURS.items():
        if name not in outcomes:
            continue
        costs, (low, middle, high) = regret_by_epochs(outcomes[name])
        axes.plot(costs, middle, color=colour, label=LABELS[name], linewidth=2)
        axes.fill_between(costs, low, high, color=colour, alpha=0.18, linewidth=0)
    if DEFAULT in outcomes:
        _mark_ratio(axes, outcomes)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.set_xlim(*SPAN)
    axes.set_ylim(bottom=0, top=1)
    axes.tick_params(labelsize=8)
    tasks = len(next(iter(outcomes.values())))
    axes.set_title(f"{NAMES.get(collection, collection)}, {tasks} tasks", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def _mark_ratio(axes: Axes, outcomes: Outcomes) -> None:
    # A line from the epochs of the reference after its last trial to those that the default needs as well.
    low, ratio, high = cost_ratio(outcomes[REFERENCE], outcomes[DEFAULT], EPOCHS)
    ends = [found[:, -1, EPOCHS].mean() for found in outcomes[REFERENCE].values()]
    cost = float(np.mean(ends))
    quality = float(np.median(mean_curve(outcomes[REFERENCE], np.array([cost]), EPOCHS)))
    axes.plot([cost], [quality], "o", color=COLOURS[REFERENCE], zorder=3)
    if ratio:
        axes.annotate(
            "", (cost / ratio, quality), (cost, quality), arrowprops={"arrowstyle": "->", "color": "#333333"}, zorder=4
        )
        label = f"{ratio:.1f} times fewer\nepochs [{low:.1f}, {high:.1f}]"
        axes.annotate(
            label, (cost / ratio, quality), (-4, -5), textcoords="offset points", ha="right", va="top", fontsize=7.5
        )


def regret_by_epochs(by_task: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return costs in epochs, and low, middle and high of the mean regret over searches and tasks at each."""
    first = max(by[:, 0, EPOCHS].max() for by in by_task.values())
    last = min(by[:, -2, EPOCHS].max() for by in by_task.values())
    costs = np.geomspace(first, max(last, first * 1.01), POINTS)
    return costs, np.percentile(mean_curve(by_task, costs, EPOCHS), LEVELS, axis=0)
