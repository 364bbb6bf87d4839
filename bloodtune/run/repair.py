"""Repair the records of an interrupted run so that the search can resume."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bloodtune.files import RUN_MODEL, finish_folder, keep_damaged_copy, replace
from bloodtune.run.directory import CURVES, PROPOSALS, TRIALS, RunDirectory
from bloodtune.run.records import (
    CURVE_COLUMNS,
    TRIAL_COLUMNS,
    EpochRecord,
    Proposal,
    RecordFile,
    TrialRecord,
    epoch_row,
    to_csv,
)


@dataclass(frozen=True)
class RunRecords:
    """The undamaged and consistent records of a run, without duplicates.

    ``trials`` has the finished trials, each with its row and all epochs of its curve. Any other trial runs again. It
    continues from its checkpoint if that is undamaged and all epochs before it are known. ``discarded`` has the epochs
    that are trained again, ``notes`` one line per damaged file and one for finished trials that run again.
    ``parameters`` has the number of a network's parameters for trials with a checkpoint. ``files`` are the record files
    of ``trials``, ``epochs`` and ``proposals`` as they were read.
    """

    trials: list[TrialRecord] = dataclasses.field(default_factory=list)
    epochs: list[tuple[int, EpochRecord]] = dataclasses.field(default_factory=list)
    proposals: list[Proposal] = dataclasses.field(default_factory=list)
    discarded: list[EpochRecord] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    parameters: dict[int, int | None] = dataclasses.field(default_factory=dict)
    files: tuple[RecordFile[Any], ...] = dataclasses.field(default=(), repr=False, compare=False)

    def curves(self) -> dict[int, list[EpochRecord]]:
        """Return the epochs of each trial by the trial's number."""
        curves: defaultdict[int, list[EpochRecord]] = defaultdict(list)
        for trial, epoch in self.epochs:
            curves[trial].append(epoch)
        return dict(curves)


def examine(run: RunDirectory) -> RunRecords:
    """Read the undamaged records of a run. Nothing is written.

    Raises:
        InputError: a file of the run has the columns of another version.
    """
    trials: RecordFile[TrialRecord] = run.read_records(TRIALS)
    curves: RecordFile[tuple[int, EpochRecord]] = run.read_records(CURVES)
    proposals: RecordFile[Proposal] = run.read_records(PROPOSALS)
    chains: defaultdict[int, list[EpochRecord]] = defaultdict(list)
    for trial, epoch in curves.records:
        if epoch.epoch == len(chains[trial]) + 1:
            chains[trial].append(epoch)
    rows = {record.trial: record for record in reversed(trials.records)}  # the first of duplicates
    finished = {trial: record for trial, record in rows.items() if len(chains[trial]) >= record.epochs}
    known = {trial: record.epochs for trial, record in finished.items()}
    parameters: dict[int, int | None] = {}
    for trial in chains.keys() - known.keys():
        known[trial] = 0
        checkpoint = run.checkpoint(trial)
        if checkpoint is not None and checkpoint.epoch <= len(chains[trial]):
            known[trial], parameters[trial] = checkpoint.epoch, checkpoint.parameters
    kept, discarded, seen = [], [], set()
    for trial, epoch in curves.records:
        if epoch.epoch <= known[trial] and (trial, epoch.epoch) not in seen:
            seen.add((trial, epoch.epoch))
            kept.append((trial, epoch))
        else:
            discarded.append(epoch)
    complete = [record for record in trials.records if finished.get(record.trial) is record]
    proposed = {proposal.trial: proposal for proposal in reversed(proposals.records)}
    lost = [record for record in complete if record.trial not in proposed]
    proposed |= {r.trial: Proposal(r.trial, r.label, r.configuration) for r in lost}
    notes = [f"{file.damage()}; the other records are kept" for file in (trials, curves, proposals) if file.damaged]
    if again := sorted(rows.keys() - finished.keys()):
        notes.append(f"{curves.file} lacks epochs of finished trials; these run again: {', '.join(map(str, again))}")
    kept_proposals = [proposal for proposal in proposals.records if proposed[proposal.trial] is proposal]
    kept_proposals += [proposed[record.trial] for record in lost]
    return RunRecords(complete, kept, kept_proposals, discarded, notes, parameters, (trials, curves, proposals))


def repair(run: RunDirectory, examined: RunRecords | None = None) -> RunRecords:
    """Remove damaged and incomplete records. A damaged file is first copied to a ``.damaged`` file beside it.

    A file that keeps all of its records, in today's columns, is not rewritten. ``examined`` are the records that
    ``examine`` returned, if the run has been locked since.

    Raises:
        InputError: a file of the run has the columns of another version.
    """
    kept = examined or examine(run)
    trials, curves, proposals = kept.files
    _write(trials, kept.trials, to_csv(TRIAL_COLUMNS, *(record.to_row().values() for record in kept.trials)))
    _write(curves, kept.epochs, to_csv(CURVE_COLUMNS, *itertools.starmap(epoch_row, kept.epochs)))
    _write(proposals, kept.proposals, "".join(f"{proposal.to_line()}\n" for proposal in kept.proposals))
    finished = {record.trial for record in kept.trials}
    finish_folder(run.path / RUN_MODEL)
    run.keep_checkpoints({trial for trial, _ in kept.epochs if trial not in finished})
    return kept


def _write(found: RecordFile[Any], kept: Sequence[Any], text: str) -> None:
    if found.damaged and found.file.exists():
        keep_damaged_copy(found.file)
    if found.damaged or found.has_partial_line or found.is_older or len(kept) != len(found.records):
        replace(found.file, text.encode())
