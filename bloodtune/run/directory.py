"""The run directory: files and columns of a search, appended row by row and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bloodtune.command_line import print_lines
from bloodtune.errors import InputError
from bloodtune.files import LATEST, append, follow_latest, parse_json, point_latest, replace
from bloodtune.run.checkpoints import CHECKPOINT_SUFFIX, CHECKPOINTS, DIGEST_BYTES, Checkpoint, state_digest
from bloodtune.run.lock import is_locked, locked
from bloodtune.run.records import (
    CURVE_COLUMNS,
    PRUNED,
    TRIAL_COLUMNS,
    EpochRecord,
    Proposal,
    RecordFile,
    TrialRecord,
    best_record,
    epoch_row,
    make_record,
    parse_epoch,
    parse_trial,
    to_csv,
)

TRIALS, CURVES, PROPOSALS = "trials.csv", "curves.csv", "proposals.jsonl"
RECIPE, PROVENANCE, BEST, STUDY = "recipe.toml", "provenance.json", "best.json", "study.journal"
PROFILE, RUNS = "profile.csv", "runs"

_NAME_CHARACTERS = r"\w.+-"  # of a run's name, for use inside the brackets of a regular expression
_NAME_LENGTH = 48  # of four bytes each; a file system allows 255 bytes, and a date and more is added
MESSAGE_LENGTH = 500  # the csv module cannot read very long cells


class RunDirectory:
    """The files of one search.

    An interrupted trial has a proposal, no row in ``trials.csv``, and perhaps rows in ``curves.csv`` and a checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls,
        out: Path,
        name: str,
        recipe: str,
        provenance: Mapping[str, Any] | None = None,
        prepare: Callable[[RunDirectory], None] = lambda run: None,
    ) -> RunDirectory:
        """Create ``out/name`` with the text of the recipe and empty records, and point ``out/latest`` at it.

        ``prepare`` is called in between, such as to lock the run.

        Raises:
            InputError: the name is not allowed or taken, the folder cannot be written, or ``prepare`` fails. No new
                folder remains.
        """
        check_name(out, name)
        path = out / name
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror}") from None
        run = cls(path)
        try:
            (path / RECIPE).write_text(recipe, encoding="utf-8")
            run.write_json(PROVENANCE, provenance or {})
            append(path / CURVES, to_csv(CURVE_COLUMNS))
            (path / PROPOSALS).touch()
            append(path / TRIALS, to_csv(TRIAL_COLUMNS))
            prepare(run)
        except (OSError, InputError) as error:
            shutil.rmtree(path, ignore_errors=True)
            if isinstance(error, InputError):
                raise
            raise InputError(f"{out} cannot be written: {error.strerror}") from None
        print_lines(point_latest(out, name))
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run.

        Raises:
            InputError: there is no run at ``path``.
        """
        path = follow_latest(path)  # which may point at another run later
        # os.path.isfile, because Path.is_file raises for a name that is too long and for an unreadable folder.
        if not os.path.isfile(path / TRIALS):
            names = sorted(p.parent.name for p in path.parent.glob(f"*/{TRIALS}") if not p.parent.is_symlink())
            raise InputError(f"no run at {path}; runs in folder {path.parent}: {', '.join(names) or 'none'}")
        return cls(path)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Lock the run against other searches while the context lasts; see ``locked``."""
        return locked(self.path, self.name)

    def in_use(self) -> bool:
        """Return whether a search has locked the run. Nothing is written."""
        return is_locked(self.path)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.resolve().name

    def best(self) -> TrialRecord | None:
        """Return the finished trial with the highest validation macro-F1, or None if no trial has a score."""
        return best_record(self.trials())

    def append_proposal(self, proposal: Proposal) -> None:
        """Append a proposal to ``proposals.jsonl``."""
        append(self.path / PROPOSALS, proposal.to_line() + "\n")

    def append_epochs(self, trial: int, epochs: Iterable[EpochRecord]) -> None:
        """Append new epochs of a trial to ``curves.csv``."""
        if rows := [epoch_row(trial, epoch) for epoch in epochs]:
            append(self.path / CURVES, to_csv(*rows))

    def append_trial(self, record: TrialRecord) -> None:
        """Append a finished trial to ``trials.csv``, its message as one line."""
        # One line because the csv module does not quote a lone carriage return.
        message = " ".join(record.message.split())[:MESSAGE_LENGTH]
        row = dataclasses.replace(record, message=message).to_row()
        append(self.path / TRIALS, to_csv(tuple(row.values())))

    def write_checkpoint(self, trial: int, checkpoint: Checkpoint) -> None:
        """Write a checkpoint to disk, then delete the trial's older checkpoints."""
        older = self._checkpoint_files(trial)
        file = self.path / CHECKPOINTS / checkpoint.file_name(trial)
        file.parent.mkdir(exist_ok=True)
        replace(file, state_digest(checkpoint.state) + checkpoint.state)
        for other in older - {file}:
            other.unlink()

    def checkpoint(self, trial: int) -> Checkpoint | None:
        """Read the trial's latest undamaged checkpoint; return None if there is none."""
        files = [([int(number) for number in file.stem.split("-")], file) for file in self._checkpoint_files(trial)]
        for (_, epoch, *parameters), file in sorted(files, reverse=True):
            content = file.read_bytes()
            digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if digest == state_digest(state):
                return Checkpoint(epoch, state, *parameters)
        return None

    def drop_checkpoints(self, trial: int) -> None:
        """Delete the checkpoints of a trial."""
        for file in self._checkpoint_files(trial):
            file.unlink()

    def keep_checkpoints(self, trials: Collection[int]) -> None:
        """Delete the checkpoints of all other trials, and partially written files."""
        names = {str(trial) for trial in trials}
        for file in (self.path / CHECKPOINTS).glob("*"):
            if file.name.partition("-")[0] not in names:
                file.unlink()

    def _checkpoint_files(self, trial: int) -> set[Path]:
        names = re.compile(rf"{trial}-\d{{1,9}}(-\d{{1,12}})?{re.escape(CHECKPOINT_SUFFIX)}", re.ASCII)
        return {file for file in (self.path / CHECKPOINTS).glob(f"{trial}-*") if names.fullmatch(file.name)}

    def write_best(self, record: TrialRecord) -> None:
        """Write a trial and its configuration to ``best.json``."""
        fields = ("trial", "label", "state", "best_val_macro_f1", "best_epoch", "epochs", "parameters")
        content = {name: getattr(record, name) for name in fields}
        self.write_json(BEST, content | {"configuration": record.configuration.to_mapping()})

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace ``best.json`` or ``provenance.json`` atomically."""
        replace(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read ``best.json`` or ``provenance.json``; return an empty dict if the file does not exist.

        Raises:
            InputError: the file is damaged.
        """
        file = self.path / name
        try:
            found = parse_json(file.read_bytes()) if file.exists() else {}
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is damaged: {error}") from None
        if not isinstance(found, dict):
            raise InputError(f"{file} is damaged: it holds no JSON object")
        return found

    def proposals(self) -> list[Proposal]:
        """Read all proposals in their order."""
        return self.read_records(PROPOSALS).complete()

    def trials(self) -> list[TrialRecord]:
        """Read the finished trials in the order in which they ended."""
        return self.read_records(TRIALS).complete()

    def standing(self) -> list[TrialRecord]:
        """Read the finished trials, then those that have epochs and have not finished, as if these were pruned now."""
        finished = self.trials()
        return finished + self.unfinished(finished)

    def unfinished(self, finished: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Read the trials that have epochs and are not among the ``finished`` ones, as if they were pruned now."""
        curves: defaultdict[int, list[EpochRecord]] = defaultdict(list)
        for trial, epoch in self.read_records(CURVES).complete():
            curves[trial].append(epoch)
        done = {record.trial for record in finished}
        others = [p for p in self.proposals() if p.trial not in done and p.trial in curves]
        return [make_record(p, curves[p.trial], PRUNED, message="not finished") for p in others]

    def curves(self) -> pd.DataFrame:
        """Read the epochs of all trials (columns: ``CURVE_COLUMNS``)."""
        rows = list(itertools.starmap(epoch_row, self.read_records(CURVES).complete()))
        kinds = {name: int if name in ("trial", "epoch") else float for name in CURVE_COLUMNS}
        return pd.DataFrame(rows, columns=list(CURVE_COLUMNS)).astype(kinds)

    def read_records(self, name: str) -> RecordFile[Any]:
        """Read the undamaged records of ``trials.csv``, ``curves.csv`` or ``proposals.jsonl``.

        Raises:
            InputError: the file has the columns of another version.
        """
        return RecordFile.read(self.path / name, *_FORMATS[name])


def load_run(asked: Path | str = f"{RUNS}/{LATEST}") -> RunDirectory:
    """Open a run by its directory or by its name in ``runs/``; by default the newest run.

    Raises:
        InputError: there is no such run.
    """
    path = Path(asked)
    if not os.path.isfile(path / TRIALS) and (len(path.parts) == 1 or os.path.isfile(Path(RUNS) / path / TRIALS)):
        path = Path(RUNS) / path
    return RunDirectory.open(path)


def plain_name(text: str) -> str:
    """Replace characters that a run's name may not have by hyphens; a long text is cut."""
    return re.sub(rf"[^{_NAME_CHARACTERS}]+", "-", text)[:_NAME_LENGTH]


def check_name(out: Path, name: str) -> None:
    """Check that a new run in the folder ``out`` can have this name.

    Raises:
        InputError: the name has other characters than allowed, or is taken.
    """
    # The name is used in commands, in reports and in the study.
    if not re.fullmatch(rf"\w[{_NAME_CHARACTERS}]*", name) or name.casefold() == LATEST:
        raise InputError(f"run name {name!r}: allowed are letters, digits, _ and (not first) . + -, except {LATEST!r}")
    if os.path.lexists(out / name):
        raise InputError(f"run {out / name} exists; choose another --name or --resume {name}")


# file: (header or an empty string, parser of a line)
_FORMATS: dict[str, tuple[str, Callable[[str], Any]]] = {
    TRIALS: (",".join(TRIAL_COLUMNS), parse_trial),
    CURVES: (",".join(CURVE_COLUMNS), parse_epoch),
    PROPOSALS: ("", Proposal.from_line),
}
