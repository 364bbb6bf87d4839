"""What a person sees while a search runs: one live screen, or a plain line every so often."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bloodtune.configuration import Configuration
from bloodtune.interrupt import Interrupt
from bloodtune.run import COMPLETE, FAILED, PRUNED
from bloodtune.searcher import LiveTrial, StudySearcher

LINE_SECONDS = 30.0


class Progress(Callback):  # type: ignore[misc]
    """Follow a searcher's trials, on stderr: a live screen where that is a terminal, else lines."""

    def __init__(self, searcher: StudySearcher, interrupt: Interrupt, *, title: str, train_images: int) -> None:
        self._searcher = searcher
        self._interrupt = interrupt
        self._title = title
        self._train_images = train_images
        self._finished_before = len(searcher.finished)
        self._started = time.monotonic()
        self._next_line = 0.0
        self._console = Console(stderr=True)
        self._live = (
            Live(get_renderable=self._screen, console=self._console, refresh_per_second=2, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        else:
            self._print_line()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Print the next plain line when it is due; the live screen refreshes itself."""
        if self._live is None and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._print_line()

    def _print_line(self) -> None:
        counts = self._counts()
        best = self._searcher.best()
        parts = [
            f"{len(self._searcher.finished)}/{self._searcher.budget} trials",
            *(f"{number} {state}" for state, number in counts.items() if number),
            f"{self._epochs()} epochs",
            f"{self._images_per_second():,.0f} images/s",
            f"best {best.best_val_macro_f1:.4f} (trial {best.trial})" if best else "no score yet",
            f"{clock(self._elapsed())} elapsed, about {self._left()} left",
        ]
        print(", ".join(parts), file=sys.stderr, flush=True)

    def _screen(self) -> Panel:
        finished, live = len(self._searcher.finished), list(self._searcher.live.values())
        head = Table.grid(expand=True, padding=(0, 2))
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(
            ProgressBar(total=self._searcher.budget, completed=finished),
            f"{finished}/{self._searcher.budget} trials  {clock(self._elapsed())} elapsed  {self._left()} left",
        )
        counts = Text("  ".join(f"{number} {state}" for state, number in self._counts().items()))
        counts.append(f"  ·  {self._epochs()} epochs  ·  {self._images_per_second():,.0f} images/s", "dim")
        return Panel(
            Group(head, counts, Text(), *self._best_lines(), Text(), self._running(live)),
            title=f"bloodtune  {self._title}",
            subtitle=f"{self._interrupt.reason}: stopping"
            if self._interrupt.reason
            else "Ctrl-C stops and keeps everything",
            width=min(100, self._console.width),
        )

    def _best_lines(self) -> list[Text]:
        best = self._searcher.best()
        if best is None:
            return [Text("best so far: no score yet")]
        line = Text("best so far: ")
        line.append(f"{best.best_val_macro_f1:.4f}", "bold green")
        line.append(f" validation macro-F1, trial {best.trial}, epoch {best.best_epoch}")
        return [line, Text(f"  {best.label}: " if best.label else "  ", "cyan").append(describe(best.configuration))]

    def _running(self, live: list[LiveTrial]) -> Table:
        table = Table.grid(padding=(0, 2))
        last_epoch = self._searcher.recipe.asha.max_epochs
        for trial in live[:12]:
            last = trial.epochs[-1] if trial.epochs else None
            table.add_row(
                f"trial {trial.proposal.trial}",
                f"epoch {last.epoch if last else 0}/{last_epoch}",
                f"{last.val_macro_f1:.4f}" if last else "  -   ",
                Text(
                    trial.proposal.label or describe(trial.proposal.configuration),
                    "dim",
                    no_wrap=True,
                    overflow="ellipsis",
                ),
            )
        return table

    def _counts(self) -> dict[str, int]:
        states = [record.state for record in self._searcher.finished]
        return {
            "done": states.count(COMPLETE),
            "running": len(self._searcher.live),
            "pruned": states.count(PRUNED),
            "failed": states.count(FAILED),
        }

    def _epochs(self) -> int:
        live = list(self._searcher.live.values())
        return sum(r.epochs for r in self._searcher.finished) + sum(len(trial.epochs) for trial in live)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _images_per_second(self) -> float:
        new = self._searcher.finished[self._finished_before :]
        live = list(self._searcher.live.values())
        epochs = sum(record.epochs for record in new) + sum(len(trial.epochs) for trial in live)
        return epochs * self._train_images / max(self._elapsed(), 1e-3)

    def _left(self) -> str:
        new = len(self._searcher.finished) - self._finished_before
        waiting = self._searcher.budget - len(self._searcher.finished)
        seconds = min(waiting * self._elapsed() / new if new else math.inf, self._interrupt.seconds_left)
        return clock(seconds) if math.isfinite(seconds) else "?"


def describe(configuration: Configuration) -> str:
    """Return a configuration in one line, what is switched off left out."""
    words = []
    for name, value in configuration.to_mapping().items():
        if not value or value == "constant":
            continue
        text = f"{value:.2g}" if isinstance(value, float) else str(value)
        spoken = name.replace("learning_rate", "rate").replace("_", " ")
        words.append(spoken if value is True else text if isinstance(value, str) else f"{spoken} {text}")
    return ", ".join(words)


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"
