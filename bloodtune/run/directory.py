"""The run directory: its files and columns, written row by row and read back."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from bloodtune.errors import InputError
from bloodtune.files import append, replace
from bloodtune.run.checkpoints import CHECKPOINT_SUFFIX, CHECKPOINTS, DIGEST_BYTES, Checkpoint, state_digest
from bloodtune.run.records import (
    CURVE_COLUMNS,
    TRIAL_COLUMNS,
    EpochRecord,
    Proposal,
    TrialRecord,
    best_record,
    epoch_row,
    parse_epoch,
    parse_trial,
    to_csv,
)

TRIALS, CURVES, PROPOSALS = "trials.csv", "curves.csv", "proposals.jsonl"
RECIPE, PROVENANCE, BEST, STUDY = "recipe.toml", "provenance.json", "best.json", "study.journal"
PROFILE = "profile.csv"
_LOCK = ".lock"
LATEST, RUNS = "latest", "runs"

_PLAIN = r"\w.+-"  # the characters of a run's name, as a regular expression has them in brackets
MESSAGE_LENGTH = 500


class RunDirectory:
    """The files of one search, append-only records first.

    An interrupted trial has a proposal and perhaps rows in ``curves.csv`` but none in ``trials.csv``; perhaps a
    checkpoint too, the last one of those that its worker sent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, out: Path, name: str, recipe_text: str, provenance: Mapping[str, Any] | None = None
    ) -> RunDirectory:
        """Make ``out/name`` with empty records and point ``out/latest`` at it, or leave everything as it was.

        Raises:
            InputError: the name is not that of a folder, or the folder exists or cannot be written.
        """
        check_name(out, name)
        path = out / name
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror}") from None
        run = cls(path)
        try:
            (path / RECIPE).write_text(recipe_text, encoding="utf-8")
            run.write_json(PROVENANCE, provenance or {})
            append(path / CURVES, to_csv(CURVE_COLUMNS))
            (path / PROPOSALS).touch()
            append(path / TRIALS, to_csv(TRIAL_COLUMNS))
            point_latest(out, name)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise InputError(f"{out} cannot be written: {error.strerror}") from None
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            InputError: there is no run at ``path``.
        """
        # os.path says no where pathlib raises: a name too long, a folder that may not be read.
        if not os.path.isfile(path / TRIALS):
            names = sorted(p.parent.name for p in path.parent.glob(f"*/{TRIALS}") if not p.parent.is_symlink())
            raise InputError(f"no run at {path}; runs there: {', '.join(names) or 'none'}")
        # `latest` may point elsewhere tomorrow; this object stays with the run.
        return cls(path.parent / path.resolve().name if path.is_symlink() else path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other search off this run for as long as the context lasts.

        Raises:
            InputError: another search has it.
        """
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"run {self.name} is in use by another search") from None
            yield

    def in_use(self) -> bool:
        """Tell whether a search has the run now; nothing is written."""
        try:
            with (self.path / _LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no search ever had it, or none that this user may see
            pass
        return False

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.resolve().name

    def best(self) -> TrialRecord | None:
        """Return the finished trial of the best validation macro-F1, None where none has a score."""
        return best_record(self.trials())

    def append_proposal(self, proposal: Proposal) -> None:
        """Put a proposal on disk."""
        append(self.path / PROPOSALS, proposal.to_line() + "\n")

    def append_epochs(self, trial: int, epochs: Iterable[EpochRecord]) -> None:
        """Put a trial's new epochs on disk."""
        if rows := [epoch_row(trial, epoch) for epoch in epochs]:
            append(self.path / CURVES, to_csv(*rows))

    def append_trial(self, record: TrialRecord) -> None:
        """Put a finished trial on disk; its message becomes one line."""
        # The csv module does not quote a carriage return that stands alone, and cannot read very long cells.
        message = " ".join(record.message.split())[:MESSAGE_LENGTH]
        row = dataclasses.replace(record, message=message).to_row()
        append(self.path / TRIALS, to_csv(tuple(row.values())))

    def write_checkpoint(self, trial: int, checkpoint: Checkpoint) -> None:
        """Replace the trial's checkpoint by a newer one, which is whole on disk before the older one goes."""
        older = self._checkpoint_files(trial)
        file = self.path / CHECKPOINTS / f"{trial}-{checkpoint.epoch}{CHECKPOINT_SUFFIX}"
        file.parent.mkdir(exist_ok=True)
        replace(file, state_digest(checkpoint.state) + checkpoint.state)
        for other in older - {file}:
            other.unlink()

    def checkpoint(self, trial: int) -> Checkpoint | None:
        """Read the trial's last checkpoint that is whole, None where there is none."""
        epochs = {int(file.stem.partition("-")[2]): file for file in self._checkpoint_files(trial)}
        for epoch, file in sorted(epochs.items(), reverse=True):
            content = file.read_bytes()
            digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if digest == state_digest(state):
                return Checkpoint(epoch, state)
        return None

    def drop_checkpoints(self, trial: int) -> None:
        """Delete what a trial that has ended no longer needs."""
        for file in self._checkpoint_files(trial):
            file.unlink()

    def keep_checkpoints(self, trials: Collection[int]) -> None:
        """Delete all checkpoints but those of some trials, and what was never written to its end."""
        names = {str(trial) for trial in trials}
        for file in (self.path / CHECKPOINTS).glob("*"):
            if file.name.partition("-")[0] not in names:
                file.unlink()

    def _checkpoint_files(self, trial: int) -> set[Path]:
        return set((self.path / CHECKPOINTS).glob(f"{trial}-*{CHECKPOINT_SUFFIX}"))

    def write_best(self, record: TrialRecord) -> None:
        """Write ``best.json``: the trial with the highest validation macro-F1 of any epoch."""
        fields = ("trial", "label", "state", "best_val_macro_f1", "best_epoch", "epochs", "parameters")
        content = {name: getattr(record, name) for name in fields}
        self.write_json(BEST, content | {"configuration": record.configuration.to_mapping()})

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace ``best.json`` or ``provenance.json`` in one step."""
        replace(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read ``best.json`` or ``provenance.json``; empty where it was not written yet.

        Raises:
            InputError: it is damaged.
        """
        file = self.path / name
        try:
            return dict(json.loads(file.read_bytes())) if file.exists() else {}
        except ValueError as error:
            raise InputError(f"{file} is damaged: {error}") from None

    def proposals(self) -> list[Proposal]:
        """Read all proposals, in the order in which they were made."""
        return self.read_lines(PROPOSALS).whole()

    def trials(self) -> list[TrialRecord]:
        """Read the finished trials, in the order in which they ended."""
        return self.read_lines(TRIALS).whole()

    def curves(self) -> pd.DataFrame:
        """Read the epochs of all trials (columns: ``CURVE_COLUMNS``)."""
        rows = list(itertools.starmap(epoch_row, self.read_lines(CURVES).whole()))
        kinds = {name: int if name in ("trial", "epoch") else float for name in CURVE_COLUMNS}
        return pd.DataFrame(rows, columns=list(CURVE_COLUMNS)).astype(kinds)

    def read_lines(self, name: str) -> Lines[Any]:
        """Read the records of ``trials.csv``, ``curves.csv`` or ``proposals.jsonl``, and say which lines are damaged.

        A last line without its end, cut off while it was written, or still being written, is no record yet.

        Raises:
            InputError: the file has the columns of another version.
        """
        file = self.path / name
        header, parse = _FORMATS[name]
        content = file.read_bytes() if file.exists() else b""
        *lines, rest = content.split(b"\n")
        damaged = [] if file.exists() else [0]
        if header:
            first = lines.pop(0).decode(errors="replace") if lines else ""
            if first != header:
                if re.fullmatch(r"trial(,[a-z][\w.]*)+", first):
                    raise InputError(f"{file} has the columns of another version of Bloodtune")
                damaged = [1] if lines or rest else damaged
        records: list[Any] = []
        for number, line in enumerate(lines, start=2 if header else 1):
            try:
                records.append(parse(line.decode()))
            except (ValueError, KeyError, TypeError, csv.Error):
                damaged.append(number)
        return Lines(file, records, damaged, is_cut=bool(rest))


_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Lines(Generic[_Record]):
    """What a file of records holds, and the numbers of its lines that cannot be read (0: the file is missing)."""

    file: Path
    records: list[_Record]
    damaged: list[int]
    is_cut: bool

    def whole(self) -> list[_Record]:
        """Return the records.

        Raises:
            InputError: a line is damaged.
        """
        if self.damaged:
            raise InputError(f"{self}; a search that resumes the run keeps what is whole")
        return self.records

    def __str__(self) -> str:
        """Say what is damaged, in one line."""
        if self.damaged == [0]:
            return f"{self.file} is missing"
        more = f" and {len(self.damaged) - 1} more" if len(self.damaged) > 1 else ""
        return f"{self.file} is damaged in line {self.damaged[0]}{more}" if self.damaged else f"{self.file} is whole"


def load_run(asked: Path | str = f"{RUNS}/{LATEST}") -> RunDirectory:
    """Open a run by its directory, or by its name in ``runs/``; the newest one if none is named.

    Raises:
        InputError: there is no such run.
    """
    path = Path(asked)
    # Not Path.is_file, which raises where a name is too long or a folder closed.
    if not os.path.isfile(path / TRIALS) and os.path.isfile(Path(RUNS) / asked / TRIALS):
        path = Path(RUNS) / asked
    return RunDirectory.open(path)


def plain_name(text: str) -> str:
    """Return text with a hyphen for all that the name of a run may not hold."""
    return re.sub(rf"[^{_PLAIN}]+", "-", text)


def check_name(out: Path, name: str) -> None:
    """Check that a run can have this name in the folder ``out``.

    Raises:
        InputError: the name is not that of a folder, or a run has it.
    """
    # Plain names only: they stand in commands, in reports and in the study.
    if not re.fullmatch(rf"\w[{_PLAIN}]*", name) or name == LATEST:
        raise InputError(f"run name {name!r}: allowed are letters, digits and . + - _, and not {LATEST!r}")
    if os.path.lexists(out / name):
        raise InputError(f"run {out / name} exists; choose another --name or --resume {name}")


def point_latest(folder: Path, name: str) -> None:
    """Point ``folder/latest`` at ``folder/name`` in one step."""
    temporary = folder / f".{LATEST}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(folder / LATEST)


# Of each file of records its first line, where it has one for all, and what reads one of the others.
_FORMATS: dict[str, tuple[str, Callable[[str], Any]]] = {
    TRIALS: (",".join(TRIAL_COLUMNS), parse_trial),
    CURVES: (",".join(CURVE_COLUMNS), parse_epoch),
    PROPOSALS: ("", Proposal.from_line),
}
