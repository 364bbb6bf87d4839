"""The run directory: its files and columns, written row by row and read back."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from bloodtune.configuration import FIELD_NAMES, Configuration
from bloodtune.errors import InputError

COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"

TRIALS, CURVES, PROPOSALS = "trials.csv", "curves.csv", "proposals.jsonl"
RECIPE, PROVENANCE, BEST, STUDY = "recipe.toml", "provenance.json", "best.json", "study.db"
PROFILE = "profile.csv"
LATEST = "latest"

CONFIG_PREFIX = "config."

_PLAIN = r"\w.+-"  # the characters of a run's name, as a regular expression has them in brackets
MESSAGE_LENGTH = 500
CURVE_COLUMNS = ("trial", "epoch", "train_loss", "val_loss", "val_accuracy", "val_macro_f1", "seconds")


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of one training left behind; ``seconds`` is its time, validation included."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    seconds: float


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial: a row of ``trials.csv``.

    ``val_macro_f1`` and ``val_accuracy`` are those of the last epoch and, like the best ones, None where no
    epoch was finished. ``label`` names a configuration that the recipe enqueued, ``message`` says why a trial failed.
    """

    trial: int
    state: str
    epochs: int
    val_macro_f1: float | None
    best_val_macro_f1: float | None
    best_epoch: int | None
    val_accuracy: float | None
    train_seconds: float
    parameters: int | None
    started: str
    label: str
    message: str
    configuration: Configuration

    def to_row(self) -> dict[str, Any]:
        """Return the row of ``trials.csv``, one ``config.*`` column a hyperparameter."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "configuration"}
        config = self.configuration.to_mapping()
        return row | {CONFIG_PREFIX + name: config.get(name) for name in FIELD_NAMES}

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> TrialRecord:
        """Read a row of ``trials.csv``; an empty cell is None where the field may be."""
        values = {
            f.name: _parse(str(f.type), row[f.name]) for f in dataclasses.fields(cls) if f.name != "configuration"
        }
        config = {
            f.name: _parse(str(f.type), cell)
            for f in dataclasses.fields(Configuration)
            if (cell := row[CONFIG_PREFIX + f.name])
        }
        return cls(**values, configuration=Configuration.from_mapping(config))


TRIAL_COLUMNS = (
    *(f.name for f in dataclasses.fields(TrialRecord) if f.name != "configuration"),
    *(CONFIG_PREFIX + name for name in FIELD_NAMES),
)


@dataclass(frozen=True)
class Proposal:
    """A configuration as it was proposed; it is on disk before its trial starts."""

    trial: int
    label: str
    configuration: Configuration


class RunDirectory:
    """The files of one search, append-only records first.

    An interrupted trial has a proposal and perhaps rows in ``curves.csv`` but none in ``trials.csv``.
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
            _append_csv(path / CURVES, CURVE_COLUMNS)
            (path / PROPOSALS).touch()
            _append_csv(path / TRIALS, TRIAL_COLUMNS)
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
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"run {self.name} is in use by another search") from None
            yield

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.resolve().name

    def append_proposal(self, proposal: Proposal) -> None:
        """Put a proposal on disk."""
        row = {"trial": proposal.trial, "label": proposal.label, "config": proposal.configuration.to_mapping()}
        _append(self.path / PROPOSALS, json.dumps(row) + "\n")

    def append_epochs(self, trial: int, epochs: Iterable[EpochRecord]) -> None:
        """Put a trial's new epochs on disk."""
        rows = [(trial, *dataclasses.astuple(epoch)) for epoch in epochs]
        if rows:
            _append_csv(self.path / CURVES, *rows)

    def append_trial(self, record: TrialRecord) -> None:
        """Put a finished trial on disk; its message becomes one line."""
        # The csv module does not quote a carriage return that stands alone, and cannot read very long cells.
        message = " ".join(record.message.split())[:MESSAGE_LENGTH]
        _append_csv(self.path / TRIALS, tuple(dataclasses.replace(record, message=message).to_row().values()))

    def write_best(self, record: TrialRecord) -> None:
        """Write ``best.json``: the trial with the highest validation macro-F1 of any epoch."""
        fields = ("trial", "label", "state", "best_val_macro_f1", "best_epoch", "epochs", "parameters")
        content = {name: getattr(record, name) for name in fields}
        self.write_json(BEST, content | {"configuration": record.configuration.to_mapping()})

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace ``best.json`` or ``provenance.json`` in one step."""
        temporary = self.path / f".{name}"
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.path / name)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read ``best.json`` or ``provenance.json``; empty where it was not written yet."""
        file = self.path / name
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    def proposals(self) -> list[Proposal]:
        """Read all proposals, in the order in which they were made."""
        rows = map(json.loads, _read_whole_lines(self.path / PROPOSALS).splitlines())
        return [Proposal(r["trial"], r["label"], Configuration.from_mapping(r["config"])) for r in rows]

    def trials(self) -> list[TrialRecord]:
        """Read the finished trials, in the order in which they ended."""
        rows = csv.DictReader(StringIO(_read_whole_lines(self.path / TRIALS), newline=""))
        return [TrialRecord.from_row(row) for row in rows]

    def curves(self) -> pd.DataFrame:
        """Read the epochs of all trials (columns: ``CURVE_COLUMNS``)."""
        return pd.read_csv(StringIO(_read_whole_lines(self.path / CURVES)))

    def drop_interrupted(self) -> pd.DataFrame:
        """Take the epochs of trials without a row in ``trials.csv`` out of ``curves.csv`` and return them.

        A last line that was cut off while it was written, in any of the records, goes with them.
        """
        for file in (self.path / name for name in (TRIALS, CURVES, PROPOSALS)):
            whole = _read_whole_lines(file).encode()
            if len(whole) < file.stat().st_size:
                os.truncate(file, len(whole))  # what is whole is never rewritten
        finished = {record.trial for record in self.trials()}
        curves = self.curves()
        is_finished = curves.trial.isin(finished)
        if not is_finished.all():
            temporary = self.path / f".{CURVES}"
            curves[is_finished].to_csv(temporary, index=False)
            temporary.replace(self.path / CURVES)
        return curves[~is_finished]


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial with the highest validation macro-F1 of any epoch, the first one of equals.

    Failed trials do not count, however good they were before.
    """
    scored = [r for r in records if r.best_val_macro_f1 is not None and r.state != FAILED]
    return max(scored, key=lambda record: record.best_val_macro_f1 or 0.0, default=None)


def best_records(records: Iterable[TrialRecord], rungs: Sequence[int], count: int) -> list[TrialRecord]:
    """Return the best trials, at most ``count``, of those that reached the highest rung that any of them reached.

    The last epoch is the highest of all. Failed trials do not count.
    """

    def reached(record: TrialRecord) -> int:
        return sum(record.epochs >= rung for rung in rungs) + (record.state == COMPLETE)

    scored = [record for record in records if record.best_val_macro_f1 is not None and record.state != FAILED]
    highest = max(map(reached, scored), default=0)
    furthest = [record for record in scored if reached(record) == highest]
    return sorted(furthest, key=lambda record: record.best_val_macro_f1 or 0.0, reverse=True)[:count]


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


def check_writable(place: Path) -> None:
    """Check, without a trace, that a folder can be written, or made, at ``place``.

    Raises:
        InputError: ``place``, or the nearest folder above it that exists, is no folder or not writable.
    """
    folder = next(path for path in (place, *place.absolute().parents) if os.path.exists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{place} cannot be written: {folder} is not a folder that can be")


def point_latest(folder: Path, name: str) -> None:
    """Point ``folder/latest`` at ``folder/name`` in one step."""
    temporary = folder / f".{LATEST}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(folder / LATEST)


def _read_whole_lines(file: Path) -> str:
    # A last line without its end was cut off while it was written, or still is being written.
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1].decode()


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _append_csv(file: Path, *rows: tuple[Any, ...]) -> None:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    _append(file, text.getvalue())


def _parse(annotation: str, cell: str) -> Any:
    kind, optional = annotation.split(" |")[0], "None" in annotation
    if cell == "" and optional:
        return None
    if kind == "bool":
        return cell == "True"
    return {"int": int, "float": float, "str": str}[kind](cell)
