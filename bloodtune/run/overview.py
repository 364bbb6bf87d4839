"""Overview of the runs in a folder: state, trials, best score, data, age and size."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from bloodtune.errors import InputError
from bloodtune.run.directory import LATEST, PROVENANCE, TRIALS, RunDirectory
from bloodtune.run.records import best_record


@dataclass(frozen=True)
class Listed:
    """A run in a line; ``age`` is that of its last record in seconds, ``size`` is in bytes."""

    name: str
    state: str
    finished: int
    budget: int | None
    best: float | None
    data: str
    age: float
    size: int


def list_runs(out: Path) -> list[Listed]:
    """Return the runs in a folder, the newest last.

    The state is running, finished, stopped (``--resume`` goes on) or damaged.

    Raises:
        InputError: there is no such folder, or no run in it.
    """
    if not out.is_dir():
        raise InputError(f"no folder {out}; --out says where runs are")
    folders = [file.parent for file in out.glob(f"*/{TRIALS}") if not file.parent.is_symlink()]
    if not folders:
        raise InputError(f"no run in {out}; --out says where runs are")
    return sorted((_read(RunDirectory(folder)) for folder in folders), key=lambda one: -one.age)


def runs_table(runs: list[Listed], latest: str | None) -> Table:
    """Return runs as a table for a terminal; a star is behind the one that ``latest`` points at."""
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
            f"{run.finished}/{run.budget or '?'}",
            f"{run.best:.4f}" if run.best is not None else "–",
            Text("" if run.data in run.name else run.data),  # which a run is called after, if nobody gives it a name
            _age(run.age),
            f"{run.size / 1e6:.0f}MB",
        )
    return table


def latest_name(out: Path) -> str | None:
    """Return the name of the run that ``latest`` points at, None where there is none."""
    link = out / LATEST
    return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def _read(run: RunDirectory) -> Listed:
    try:
        lines = run.read_lines(TRIALS)
        about = run.read_json(PROVENANCE)
        records, damaged = lines.records, bool(lines.damaged) or not about
    except InputError:
        records, about, damaged = [], {}, True
    budget = about.get("budget")
    best = best_record(records)
    if damaged:
        state = "damaged"
    elif run.in_use():
        state = "running"
    else:
        state = "finished" if len(records) == budget else "stopped"
    data = about.get("data", {})
    return Listed(
        name=run.name,
        state=state,
        finished=len(records),
        budget=budget,
        best=best.best_val_macro_f1 if best else None,
        data=str(data.get("title", "?")),
        age=time.time() - (run.path / TRIALS).stat().st_mtime,
        size=_size(run.path),
    )


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a checkpoint that gave way to the next one
            size += file.stat().st_size if file.is_file() else 0
    return size


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length or (unit == "m" and seconds >= length):
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
