"""Overview of the runs in a folder: state, trials, best score, data, age and size."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from bloodtune.errors import InputError, printable
from bloodtune.run.directory import TRIALS, RunDirectory
from bloodtune.run.provenance import read_provenance
from bloodtune.run.records import best_record


@dataclass(frozen=True)
class RunOverview:
    """One row of the overview; ``age`` is in seconds since the last finished trial, ``size`` in bytes.

    ``unfinished`` trials have epochs and are paused, run or were interrupted. ``best`` may be one of them.
    """

    name: str
    state: str
    finished: int
    unfinished: int
    budget: int | None
    best: float | None
    data: str
    age: float
    size: int


def list_runs(out: Path) -> list[RunOverview]:
    """Return the runs in a folder, the newest last.

    The state is running, finished, stopped (``--resume`` continues the search) or damaged.

    Raises:
        InputError: the folder does not exist or has no runs.
    """
    if not out.is_dir():
        raise InputError(f"no folder {out}; give the folder of the runs with --out")
    folders = [file.parent for file in out.glob(f"*/{TRIALS}") if not file.parent.is_symlink()]
    if not folders:
        raise InputError(f"no run in {out}; give the folder of the runs with --out")
    return sorted((_read(RunDirectory(folder)) for folder in folders), key=lambda run: -run.age)


def runs_table(runs: list[RunOverview], latest: str | None) -> Table:
    """Return a table of runs for a terminal, with a star behind the name of the run ``latest``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, collapse_padding=True)
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True, min_width=8)
    table.add_column("trials", no_wrap=True, min_width=6, justify="right")
    table.add_column("best", no_wrap=True, min_width=6, justify="right")
    table.add_column(
        "data", no_wrap=True, overflow="ellipsis", max_width=max(4, 38 - max(len(run.name) for run in runs))
    )
    table.add_column("age", no_wrap=True, min_width=5, justify="right")
    table.add_column("size", no_wrap=True, min_width=6, justify="right")
    colours = {"running": "green", "stopped": "yellow", "damaged": "red"}
    for run in runs:
        table.add_row(
            Text(f"{run.name}*" if run.name == latest else run.name),
            f"[{colours[run.state]}]{run.state}" if run.state in colours else run.state,
            f"{run.finished}{f'+{run.unfinished}' if run.unfinished else ''}/{run.budget or '?'}",
            f"{run.best:.4f}" if run.best is not None else "–",
            Text("" if run.data in run.name else printable(run.data)),  # a run's default name contains it
            _age(run.age),
            f"{run.size / 1e6:.0f}MB",
        )
    return table


def _read(run: RunDirectory) -> RunOverview:
    try:
        finished = run.trials()
        unfinished = run.unfinished(finished)
        provenance = read_provenance(run)
        damaged = not provenance
    except InputError:
        finished, unfinished, provenance, damaged = [], [], {}, True
    budget = provenance.get("budget")
    best = best_record([*finished, *unfinished])
    if damaged:
        state = "damaged"
    elif run.in_use():
        state = "running"
    else:
        state = "finished" if len(finished) == budget else "stopped"
    data = provenance.get("data", {})
    return RunOverview(
        name=run.name,
        state=state,
        finished=len(finished),
        unfinished=len(unfinished),
        budget=budget,
        best=best.best_val_macro_f1 if best else None,
        data=str(data.get("title", "?")),
        age=time.time() - (run.path / TRIALS).stat().st_mtime,
        size=_size(run.path),
    )


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # such as a checkpoint that a newer one has replaced
            size += file.stat().st_size if file.is_file() else 0
    return size


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length or (unit == "m" and seconds >= length):
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
