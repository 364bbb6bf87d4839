"""Progress of a running search on stderr: a live screen in a terminal, else one line per minute."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.tune import Callback
from rich.console import Console
from rich.live import Live

from bloodtune.command_line import print_lines
from bloodtune.data.parallel_map import usable_cpus
from bloodtune.monitoring.live_view import Running, View
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, RUNNING, TrialRecord, best_so_far
from bloodtune.tuning.forecast import Forecast, forecast
from bloodtune.tuning.stopper import Interrupt
from bloodtune.tuning.trial_queue import TrialQueue

LINE_SECONDS = 60.0
_HOSTS_SECONDS = 10.0  # between two counts of the cluster's hosts


class Progress(Callback):  # type: ignore[misc]
    """Show a queue's trials on stderr."""

    def __init__(
        self,
        queue: TrialQueue,
        interrupt: Interrupt,
        *,
        title: str,
        workers: int,
        train_images: int,
    ) -> None:
        self._queue = queue
        self._interrupt = interrupt
        self._title = title
        self._workers = workers
        self._train_images = train_images
        self._finished_before = len(queue.finished)
        self._started = time.monotonic()
        self._next_line = self._next_look = 0.0
        self._hosts = 1
        self._reported, self._reported_at = (-1, -1), 0.0  # trials and epochs of the last forecast, and its time
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
            with contextlib.suppress(OSError):  # the terminal is gone
                self._live.stop()
        else:
            self._print_line()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Print the next line when it is due; the live screen refreshes itself."""
        now = time.monotonic()
        if self._live and now >= self._next_look:
            self._next_look = now + _HOSTS_SECONDS
            self._hosts = sum(node["Alive"] for node in ray.nodes())
        if self._live is None and now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            self._print_line()

    def view(self) -> View:
        """Return the search as it is now."""
        queue, live, paused = self._queue, list(self._queue.live.values()), list(self._queue.paused.values())
        finished, asha = list(queue.finished), queue.recipe.asha
        states = [record.state for record in finished]
        new = finished[self._finished_before :]
        elapsed = time.monotonic() - self._started
        records = finished + [trial.record(RUNNING) for trial in live + paused]
        unfinished = sum(len(trial.epochs) for trial in live + paused)
        epochs = sum(record.epochs for record in finished) + unfinished
        trained = max(0, sum(record.epochs for record in new) + unfinished - queue.epochs_before)
        needed = self._forecast(records, elapsed)
        busy = f"{len(live)} of {self._workers} workers busy"
        load = f"load {os.getloadavg()[0]:.1f} on " if hasattr(os, "getloadavg") else ""
        here = f"{load}{len(usable_cpus())} cores"
        return View(
            title=self._title,
            budget=queue.budget,
            counts={
                "done": states.count(COMPLETE),
                "running": len(live),
                "paused": len(paused),
                "pruned": states.count(PRUNED),
                "failed": states.count(FAILED),
            },
            epochs=epochs,
            epochs_left=needed.epochs,
            saved=sum(asha.last_epoch - record.epochs for record in finished if record.state == PRUNED),
            images_per_second=trained * self._train_images / max(elapsed, 1e-3),
            elapsed=elapsed,
            left=min(needed.seconds, self._interrupt.seconds_left),
            load=f"{busy}, {here}" if self._hosts == 1 else f"{busy} on {self._hosts} hosts",
            best=queue.best(),
            bests=best_so_far(sorted(records, key=lambda record: record.trial)),
            running=[Running(t.proposal.trial, t.proposal.label, t.proposal.configuration, t.epochs) for t in live],
            rungs=asha.rungs,
            max_epochs=asha.last_epoch,
            needed=queue.halving.needed(),
            stopping=self._interrupt.reason,
        )

    def _forecast(self, trials: Sequence[TrialRecord], elapsed: float) -> Forecast:
        """Return the epochs and seconds left. Between two reports of epochs the seconds count down."""
        reported = len(trials), sum(trial.epochs for trial in trials)
        if reported != self._reported:
            self._reported, self._reported_at = reported, elapsed
            self._last = forecast(self._queue.recipe, self._queue.budget, trials, self._workers)
        return Forecast(self._last.epochs, max(0.0, self._last.seconds - (elapsed - self._reported_at)))

    def _print_line(self) -> None:
        print_lines(self.view().line())

    def _screen(self) -> Any:
        return self.view().screen(self._console.width)
