"""A search that lasts long enough to be broken, the checks afterwards, and the table in docs/reliability.md."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import TrialRecord
from bloodtune.run.repair import examine
from command_fixtures import SUMMARIZE, run_command, start
from engine_fixtures import make_split
from study_fixtures import load_study

BUDGET = 40
PATIENCE = 120.0
QUICKEST = "--quick --top 1 --epochs 1"

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make test-faults: begin -->\n", "<!-- end -->\n"
HEAD = "| fault | times | trials lost | trials duplicated | seconds to recover: median (longest) |\n"

# Networks of one size and no published configuration, so that a trial takes a second or a few; rungs at 1, 3 and 9.
RECIPE = """
description = "for tests of faults"

[sampler]
name = "tpe"
startup_trials = 4

[asha]
max_epochs = {epochs}
first_rung = 1
reduction_factor = 3

[space.family]
choices = ["cnn"]
source = "test"

[space.width]
choices = [8]
source = "test"

[space.batch_size]
choices = [32]
source = "test"

[space.optimizer]
choices = ["adam"]
source = "test"

[space.learning_rate]
low = 0.0001
high = 0.01
log = true
source = "test"
"""


@dataclass
class Row:
    """A row of the table in docs/reliability.md."""

    fault: str
    times: int = 0
    lost: int = 0
    duplicated: int = 0
    seconds: list[float] = field(default_factory=list)


GetRow = Callable[[str], Row]


def write_inputs(folder: Path, *, images: int = 1500, epochs: int = 9) -> Path:
    """Write the data and the recipe of a search whose trials last."""
    arrays = {}
    for seed, (split, count) in enumerate({"train": images, "val": 60, "test": 60}.items()):
        drawn = make_split(count, seed=seed)
        arrays |= {f"{split}_images": drawn.images, f"{split}_labels": drawn.labels[:, None].astype(np.uint8)}
    np.savez(folder / "data.npz", **arrays)
    (folder / "faults.toml").write_text(RECIPE.format(epochs=epochs))
    return folder


class Search:
    """A search in a process of its own, in a folder of ``write_inputs``."""

    def __init__(self, folder: Path, *, budget: int = BUDGET, flags: str = "--workers 2 --checkpoint-every 1s") -> None:
        self.folder = folder
        self.budget = budget
        self.flags = flags
        self.run = RunDirectory(folder / "runs" / "broken")
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def begin(self) -> None:
        """Start it, or resume it where it was started before."""
        self.process = start(self.folder, self.arguments())

    def arguments(self) -> str:
        """Return those of a first start, or of a resume."""
        new = "--recipe faults.toml --data data.npz --name broken"
        return f"{'--resume broken' if self.run.path.exists() else new} --budget {self.budget} {self.flags}"

    def records(self) -> dict[int, TrialRecord]:
        """Return the finished trials by their numbers."""
        return {record.trial: record for record in self.run.trials()}

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        assert self.process is not None
        _, self.said = self.process.communicate(timeout=5 * PATIENCE)
        return self.process.returncode

    def finish(self) -> None:
        """Begin it once more and wait for its end, which must be a good one."""
        self.begin()
        assert self.end() == 0, self.said

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the driver a signal, and nobody else."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def workers(self) -> list[int]:
        """Return the processes that train."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if name_of(pid).startswith("ray::ResourceTrainable.train")]

    def epochs(self) -> int:
        """Return how many epochs are on disk."""
        with contextlib.suppress(OSError):
            return (self.run.path / "curves.csv").read_bytes().count(b"\n") - 1
        return 0

    def trials(self) -> int:
        """Return how many finished trials are on disk."""
        with contextlib.suppress(OSError):
            return (self.run.path / "trials.csv").read_bytes().count(b"\n") - 1
        return 0

    def checkpoints(self) -> dict[int, int]:
        """Return the epochs of the checkpoints on disk by trial; nearly all are those of paused trials."""
        files = (self.run.path / "checkpoints").glob("[0-9]*.checkpoint")
        return dict(sorted(tuple(map(int, file.stem.split("-")[:2])) for file in files))  # type: ignore[misc]

    def wait_for(self, condition: Callable[[], bool], *, extend: bool = False) -> float:
        """Wait until something holds; return the seconds that it took. The search must go on meanwhile.

        With ``extend`` a search that has reached its budget goes on with twice the budget: on a fast machine a search
        may be over before all its faults have happened.
        """
        assert self.process is not None
        started = time.monotonic()
        while not condition():
            if extend and self.process.poll() == 0:
                self.budget *= 2
                self.begin()
                started = time.monotonic()
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() - started < PATIENCE, "it does not go on"
            time.sleep(0.02)
        return time.monotonic() - started

    def check(self, row: Row, *, in_order: bool = True) -> None:
        """Count what is lost or there twice, and check that all records are whole and the summary can be written.

        Proposals are ``in_order`` unless their own file was damaged: those of finished trials are then known first.
        """
        numbers = Counter(record.trial for record in self.run.trials())
        row.lost += len(set(range(self.budget)) - set(numbers))
        row.duplicated += sum(numbers.values()) - len(numbers)
        assert sorted(numbers.elements()) == list(range(self.budget))
        whole = examine(self.run)
        assert (whole.discarded, whole.notes) == ([], [])
        proposed = [proposal.trial for proposal in whole.proposals]
        assert (proposed if in_order else sorted(proposed)) == list(range(self.budget))
        curves = self.run.curves()
        assert not curves.duplicated(["trial", "epoch"]).any()
        assert {r.trial: r.epochs for r in whole.trials if r.epochs} == curves.groupby("trial").epoch.max().to_dict()
        study = load_study(self.run.path / "study.journal", self.run.name)
        assert sorted(trial.user_attrs["trial"] for trial in study.trials) == list(range(self.budget))
        assert all(trial.state.is_finished() for trial in study.trials)
        assert not list((self.run.path / "checkpoints").glob("*")), "nothing is left to go on from"
        self.summarize()

    def summarize(self) -> None:
        """Write the summary, in its quickest form."""
        code, _, err = run_command(self.folder, f"{self.run.path} {QUICKEST}", SUMMARIZE)
        assert code == 0, err


def descendants(pid: int) -> Iterator[int]:
    """Give all processes that a process started, and those that they started."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def name_of(pid: int) -> str:
    """Return a process's command line, empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of that size at ``folder`` for as long as the context lasts; needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(folder: Path) -> Path:
    """Write a file that leaves no room; return it."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(min(65536, max(1, shutil.disk_usage(folder).free))))
    return ballast


@pytest.fixture(scope="session")
def rows() -> Iterator[dict[str, Row]]:
    """Give the rows by their fault; those of the tests that ran replace the ones on the page."""
    rows: dict[str, Row] = {}
    yield rows
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    written = {line.split("|")[1].strip(): line for line in table.splitlines()[2:-1]}
    for row in rows.values():
        took = f"{median(row.seconds):.1f} ({max(row.seconds):.1f})" if row.seconds else ""
        written[row.fault] = f"| {row.fault} | {row.times} | {row.lost} | {row.duplicated} | {took} |"
    counts = [[int(cell) for cell in line.split("|")[2:5]] for line in written.values()]
    total = "| **all** | " + " | ".join(str(sum(column)) for column in zip(*counts, strict=True)) + " | |"
    lines = [HEAD.strip(), "|---|---|---|---|---|", *written.values(), total]
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


@pytest.fixture
def row(rows: dict[str, Row]) -> GetRow:
    """Give the row of a fault by its name."""
    return lambda fault: rows.setdefault(fault, Row(fault))
