"""Records of a search: proposals, epochs and trials, written as rows and parsed back."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from bloodtune.errors import InputError
from bloodtune.files import parse_json
from bloodtune.space.configuration import FIELD_NAMES, Configuration

STATES = COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"
RUNNING, PAUSED = "RUNNING", "PAUSED"  # in best.json alone, never in trials.csv

CONFIG_PREFIX = "config."

CURVE_COLUMNS = ("trial", "epoch", "train_loss", "val_loss", "val_accuracy", "val_macro_f1", "seconds")

OBJECTIVE: Final = "val_macro_f1"
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class EpochRecord:
    """Losses and scores of one epoch of a training. ``seconds`` is its duration, validation included."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    seconds: float


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial: a row of ``trials.csv``.

    ``val_macro_f1`` and ``val_accuracy`` are the scores of the last epoch. All scores and ``best_epoch`` are None if
    no epoch was finished. ``retries`` counts how often the trial continued in a new process after its process died.
    ``label`` is the name of an enqueued configuration, ``message`` the reason why the trial failed or was pruned.
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
    retries: int
    label: str
    message: str
    configuration: Configuration

    def to_row(self) -> dict[str, Any]:
        """Return the row of ``trials.csv``, with one ``config.*`` column per hyperparameter."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "configuration"}
        config = self.configuration.to_mapping()
        return row | {CONFIG_PREFIX + name: config.get(name) for name in FIELD_NAMES}

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> TrialRecord:
        """Parse a row of ``trials.csv``; an empty cell becomes None if the field may be None."""
        values = {
            f.name: _parse(_TRIAL_TYPES[f.name], row[f.name])
            for f in dataclasses.fields(cls)
            if f.name != "configuration"
        }
        config = {
            f.name: _parse(_CONFIG_TYPES[f.name], cell)
            for f in dataclasses.fields(Configuration)
            if (cell := row[CONFIG_PREFIX + f.name])
        }
        if values["state"] not in STATES or (values["state"] == COMPLETE and values["val_macro_f1"] is None):
            raise ValueError(f"{values['state']!r} with the score {values['val_macro_f1']}")
        return cls(**values, configuration=Configuration.from_mapping(config))


def _field_types(record: type) -> dict[str, tuple[type, ...]]:
    # `int | None` becomes (int, NoneType).
    return {name: typing.get_args(hint) or (hint,) for name, hint in typing.get_type_hints(record).items()}


_TRIAL_TYPES, _CONFIG_TYPES = _field_types(TrialRecord), _field_types(Configuration)

TRIAL_COLUMNS = (
    *(f.name for f in dataclasses.fields(TrialRecord) if f.name != "configuration"),
    *(CONFIG_PREFIX + name for name in FIELD_NAMES),
)


@dataclass(frozen=True)
class Proposal:
    """A proposed configuration, written to disk before its trial starts."""

    trial: int
    label: str
    configuration: Configuration

    def to_line(self) -> str:
        """Return the line of ``proposals.jsonl``."""
        row = {"trial": self.trial, "label": self.label, "config": self.configuration.to_mapping()}
        return json.dumps(row)

    @classmethod
    def from_line(cls, line: str) -> Proposal:
        """Parse a line of ``proposals.jsonl``."""
        row = parse_json(line)
        return cls(_count(row["trial"]), str(row["label"]), Configuration.from_mapping(row["config"]))


def make_record(
    proposal: Proposal,
    epochs: Sequence[EpochRecord],
    state: str,
    *,
    message: str = "",
    parameters: int | None = None,
    started: str = "",
    retries: int = 0,
) -> TrialRecord:
    """Return the record of a trial from its epochs so far."""
    last = epochs[-1] if epochs else None
    best = max(epochs, key=lambda epoch: epoch.val_macro_f1, default=None)
    return TrialRecord(
        trial=proposal.trial,
        state=state,
        epochs=last.epoch if last else 0,
        val_macro_f1=last.val_macro_f1 if last else None,
        best_val_macro_f1=best.val_macro_f1 if best else None,
        best_epoch=best.epoch if best else None,
        val_accuracy=last.val_accuracy if last else None,
        train_seconds=round(sum(epoch.seconds for epoch in epochs), 3),
        parameters=parameters,
        started=started,
        retries=retries,
        label=proposal.label,
        message=message,
        configuration=proposal.configuration,
    )


@dataclass(frozen=True)
class RecordFile(Generic[_Record]):
    """The undamaged records of a file, and the numbers of its damaged lines (0: the file is missing)."""

    file: Path
    records: list[_Record]
    damaged: list[int]
    has_partial_line: bool
    is_older: bool = False  # its header lacks hyperparameters that are newer than the file

    @classmethod
    def read(cls, file: Path, header: str, parse: Callable[[str], _Record]) -> RecordFile[_Record]:
        """Read a file whose first line is ``header``, unless that is empty.

        A last line without a newline is not a record: its write is unfinished. The header may lack hyperparameters that
        are newer than the file; those have their default values.

        Raises:
            InputError: the file has the columns of another version.
        """
        content = file.read_bytes() if file.exists() else b""
        *lines, rest = content.split(b"\n")
        damaged = [] if file.exists() else [0]
        first = lines.pop(0).decode(errors="replace") if header and lines else ""
        is_older = first != header and _lacks_hyperparameters(first, header)
        if first != header and not is_older:
            if re.fullmatch(r"trial(,[a-z][\w.]*)+", first):
                raise InputError(f"{file} has the columns of another version of Bloodtune")
            damaged = damaged or [1]
        records: list[_Record] = []
        for number, line in enumerate(lines, start=2 if header else 1):
            try:
                records.append(parse(_complete_row(line.decode(), first, header) if is_older else line.decode()))
            except (ValueError, KeyError, TypeError, OverflowError, csv.Error):
                damaged.append(number)
        return cls(file, records, damaged, has_partial_line=bool(rest), is_older=is_older)

    def complete(self) -> list[_Record]:
        """Return the records.

        Raises:
            InputError: the file is damaged.
        """
        if self.damaged:
            run = self.file.parent.name
            raise InputError(f"{self.damage()}; --resume {run} repairs it and keeps the other records")
        return self.records

    def damage(self) -> str:
        """Describe the damage in one line."""
        first, *others = self.damaged
        more = f" and {len(others)} more" if others else ""
        return f"{self.file} is damaged in line {first}{more}" if first else f"{self.file} is missing"


def _lacks_hyperparameters(found: str, header: str) -> bool:
    columns, known = found.split(","), header.split(",")
    kept = [name for name in known if name in columns or not name.startswith(CONFIG_PREFIX)]
    return columns == kept


def _complete_row(line: str, found: str, header: str) -> str:
    row = dict(zip(found.split(","), next(csv.reader([line])), strict=True))
    return to_csv([row.get(name, "") for name in header.split(",")])


def scored(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials with a score. A failed trial does not count, even if it finished epochs."""
    return [record for record in records if record.best_val_macro_f1 is not None and record.state != FAILED]


def best_so_far(records: Iterable[TrialRecord]) -> list[float]:
    """Return the best validation macro-F1 after each trial, 0 before the first score."""
    scores = (0.0 if record.state == FAILED else record.best_val_macro_f1 or 0.0 for record in records)
    return list(itertools.accumulate(scores, max))


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the first trial with the highest validation macro-F1 of any epoch. Failed trials do not count."""
    return max(scored(records), key=lambda record: record.best_val_macro_f1 or 0.0, default=None)


def rungs_reached(record: TrialRecord, rungs: Sequence[int]) -> int:
    """Return how many rungs a trial has reached; a completed trial is above all of them."""
    return sum(record.epochs >= rung for rung in rungs) + (record.state == COMPLETE)


def rank_records(records: Iterable[TrialRecord], rungs: Sequence[int]) -> list[TrialRecord]:
    """Return trials with a score, those that reached the highest rung first, and among these the best first."""
    return sorted(scored(records), key=lambda one: (-rungs_reached(one, rungs), -(one.best_val_macro_f1 or 0.0)))


def best_records(records: Iterable[TrialRecord], rungs: Sequence[int], count: int) -> list[TrialRecord]:
    """Return the best ``count`` trials, best first, of those with a score that reached the highest rung."""
    ranked = rank_records(records, rungs)
    return [one for one in ranked if rungs_reached(one, rungs) == rungs_reached(ranked[0], rungs)][:count]


def epoch_row(trial: int, epoch: EpochRecord) -> tuple[int | float, ...]:
    """Return the row of ``curves.csv``."""
    return (trial, *dataclasses.astuple(epoch))


def to_csv(*rows: Iterable[Any]) -> str:
    """Return rows as CSV lines."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def parse_trial(line: str) -> TrialRecord:
    """Parse a line of ``trials.csv``."""
    return TrialRecord.from_row(dict(zip(TRIAL_COLUMNS, next(csv.reader([line])), strict=True)))


def parse_epoch(line: str) -> tuple[int, EpochRecord]:
    """Parse a line of ``curves.csv``; return the trial's number and the epoch."""
    trial, epoch, *values = line.split(",")
    record = EpochRecord(_count(epoch), *map(float, values))
    if not all(map(math.isfinite, (record.val_accuracy, record.val_macro_f1, record.seconds))):  # losses may be inf
        raise ValueError(f"{line!r}: expected finite scores")
    return _count(trial), record


def _parse(types: tuple[type, ...], cell: str) -> Any:
    if cell == "" and type(None) in types:
        return None
    if types[0] is bool and cell not in ("True", "False"):
        raise ValueError(f"{cell!r}: expected True or False")
    parsers: dict[type, Callable[[str], Any]] = {bool: lambda text: text == "True", int: _count, float: _finite}
    return parsers.get(types[0], types[0])(cell)


def _count(value: Any) -> int:
    # All whole numbers of the records count something.
    if not 0 <= (number := int(value)) < 2**63:
        raise ValueError(f"{number}: expected a whole number from 0, of 64 bits")
    return number


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text}: expected a finite number")
    return number
