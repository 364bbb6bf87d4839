"""Live screen and log line of a search: counts, best score, learning curves of running trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bloodtune.errors import printable
from bloodtune.run.records import EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration, describe

_MAX_WIDTH = 110
_MAX_RUNNING = 12  # rows for running trials; more do not fit on a screen
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 27  # columns
_LOWEST_BLOCK = 0.3  # macro-F1 of the lowest block of a learning curve


@dataclass(frozen=True)
class Running:
    """A running trial with its learning curve so far."""

    trial: int
    label: str
    configuration: Configuration
    epochs: Sequence[EpochRecord]


@dataclass(frozen=True)
class View:
    """A snapshot of a search.

    ``counts`` is the number of trials by state. ``epochs`` have been trained, ``epochs_left`` are expected to follow,
    and pruning ``saved`` others. ``bests`` is the best validation macro-F1 after each trial. ``needed`` maps rungs to
    the score that puts a trial among the best there. ``elapsed`` and ``left`` are in seconds. ``stopping`` is the
    reason why the search stops, or an empty string.
    """

    title: str
    budget: int
    counts: Mapping[str, int]
    epochs: int
    epochs_left: int
    saved: int
    images_per_second: float
    elapsed: float
    left: float
    load: str
    best: TrialRecord | None
    bests: Sequence[float]
    running: Sequence[Running]
    rungs: Sequence[int]
    max_epochs: int
    needed: Mapping[int, float]
    stopping: str = ""

    @property
    def finished(self) -> int:
        """Number of trials that have ended."""
        return sum(number for state, number in self.counts.items() if state not in ("running", "paused"))

    def line(self) -> str:
        """Return the log line."""
        parts = [
            f"{self.finished}/{self.budget} trials",
            *(f"{number} {state}" for state, number in self.counts.items() if number),
            f"{self._spent()} ({self._saved()})",
            f"{self.images_per_second:,.0f} images/s",
            f"best {self.best.best_val_macro_f1:.4f} (trial {self.best.trial})" if self.best else "no score yet",
            f"{clock(self.elapsed)} elapsed, about {clock(self.left)} left",
        ]
        return ", ".join(parts)

    def screen(self, width: int) -> Panel:
        """Return the screen for a terminal ``width`` columns wide."""
        width = min(width, _MAX_WIDTH)
        expected = self.epochs + self.epochs_left
        text = f"{self.epochs / max(expected, 1):.0%}  {clock(self.elapsed)} elapsed  {clock(self.left)} left"
        head = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=max(expected, 1), completed=self.epochs, width=max(4, width - len(text) - 6))
        head.add_row(bar, Text(text, no_wrap=True))
        counts = "  ".join(f"{number} {state}" for state, number in self.counts.items() if number)
        trials = Text(f"{self.finished}/{self.budget} trials  ·  {counts}")
        epochs = Text(f"{self._spent()}  ·  {self._saved()}")
        speed = Text(f"{self.images_per_second:,.0f} images/s  ·  {self.load}", "dim")
        return Panel(
            Group(head, trials, epochs, speed, Text(), *self._best(width - 4), Text(), self._running(width - 4)),
            title=Text(f"bloodtune  {self.title}"),
            subtitle=Text(f"{self.stopping}: stopping" if self.stopping else "Ctrl-C stops and keeps everything"),
            width=width,
        )

    def _spent(self) -> str:
        about = f" of about {self.epochs + self.epochs_left:,}" if self.epochs_left else ""
        return f"{self.epochs:,}{about} epochs"

    def _saved(self) -> str:
        spent = self.saved + self.epochs
        return f"ASHA saved {self.saved:,}, {self.saved / spent:.0%}" if self.saved else "none saved yet"

    def _best(self, width: int) -> list[RenderableType]:
        if self.best is None or self.best.best_val_macro_f1 is None:
            return [Text("best so far: no score yet")]
        line = Text("best so far ")
        line.append(f"{self.best.best_val_macro_f1:.4f}", "bold green")
        line.append(f" macro-F1, trial {self.best.trial}, epoch {self.best.best_epoch} ")
        line.append(sparkline(self.bests, width - line.cell_len), "green")
        name = f"{printable(self.best.label)}: " if self.best.label else ""
        return [line, Text("  ").append(name, "cyan").append(describe(self.best.configuration), "dim")]

    def _running(self, width: int) -> Table:
        table = Table.grid(padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", width=max(8, width - _CURVE_WIDTH - len(self.rungs) - 30))
        for trial in self.running[:_MAX_RUNNING]:
            last = trial.epochs[-1] if trial.epochs else None
            reached = last.epoch if last else 0
            table.add_row(
                f"#{trial.trial} {last.val_macro_f1:.4f}" if last else f"#{trial.trial}      -",
                self._curve(trial),
                Text(f"{reached}/{self.max_epochs}{self._next_rung(reached)}"),
                Text(printable(trial.label) or describe(trial.configuration), "dim"),
            )
        if len(self.running) > _MAX_RUNNING:
            table.add_row("", "", "", Text(f"and {len(self.running) - _MAX_RUNNING} more", "dim"))
        return table

    def _next_rung(self, reached: int) -> str:
        rung = next((rung for rung in self.rungs if rung > reached and rung in self.needed), None)
        return f", {self.needed[rung]:.4f} at {rung}" if rung else ""

    def _curve(self, trial: Running) -> Text:
        """Draw a learning curve over all epochs, with a vertical line after each rung."""
        columns = min(self.max_epochs, _CURVE_WIDTH)
        scores = {epoch.epoch: epoch.val_macro_f1 for epoch in trial.epochs}
        text = Text()
        before = 0
        for column in range(columns):
            epoch = math.ceil((column + 1) * self.max_epochs / columns)
            known = [scores[e] for e in range(before + 1, epoch + 1) if e in scores]
            text.append(_block(known[-1], self._highest()) if known else "·", "cyan" if known else "dim")
            if any(before < rung <= epoch for rung in self.rungs):
                text.append("│", "yellow")
            before = epoch
        return text

    def _highest(self) -> float:
        return (self.best.best_val_macro_f1 if self.best else None) or 0.9


def sparkline(values: Sequence[float], width: int) -> str:
    """Return scores as at most ``width`` block characters, scaled by the logarithm of the error.

    If there are more scores than blocks, each block shows the last score of a group. The lowest block is the lowest
    score above 0, the highest block the highest score.
    """
    groups = min(len(values), max(width, 1))
    shown = [values[math.ceil((i + 1) * len(values) / groups) - 1] for i in range(groups)]
    lowest, highest = min(filter(None, shown), default=0.0), max(shown, default=0.0)
    return "".join(_block(value, highest, lowest) for value in shown)


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds or as hours and minutes; ``?`` if it is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"


def _block(score: float, highest: float, lowest: float = _LOWEST_BLOCK) -> str:
    worst, best = math.log(max(1 - lowest, 1e-4)), math.log(max(1 - highest, 1e-4))
    share = (worst - math.log(max(1 - score, 1e-4))) / max(worst - best, 1e-9)
    return _BLOCKS[round(min(max(share, 0.0), 1.0) * (len(_BLOCKS) - 1))]
