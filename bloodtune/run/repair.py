"""Repair the records of an interrupted run so that the search can resume."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bloodtune.files import put_aside, replace
from bloodtune.run.directory import CURVES, PROPOSALS, TRIALS, Lines, RunDirectory
from bloodtune.run.records import CURVE_COLUMNS, TRIAL_COLUMNS, EpochRecord, Proposal, TrialRecord, epoch_row, to_csv


@dataclass(frozen=True)
class RunRecords:
    """The records of a run that are whole and agree with each other, each trial and each epoch of it once.

    A finished trial is whole with its row and all epochs of its curve; any other one runs again, from its checkpoint
    where that is whole and the epochs up to it are known. ``discarded`` has the epochs that have to be trained again,
    ``notes`` what there is to say about damage, a line each.
    """

    trials: list[TrialRecord] = dataclasses.field(default_factory=list)
    epochs: list[tuple[int, EpochRecord]] = dataclasses.field(default_factory=list)
    proposals: list[Proposal] = dataclasses.field(default_factory=list)
    discarded: list[EpochRecord] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def curves(self) -> dict[int, list[EpochRecord]]:
        """Return the epochs of each trial, by its number."""
        curves: defaultdict[int, list[EpochRecord]] = defaultdict(list)
        for trial, epoch in self.epochs:
            curves[trial].append(epoch)
        return dict(curves)


def examine(run: RunDirectory) -> RunRecords:
    """Read the intact records of a run. Nothing is written.

    Raises:
        InputError: a file of the run has the columns of another version.
    """
    return _examine(run, *_read(run))


def mend(run: RunDirectory) -> RunRecords:
    """Remove incomplete records. A file with damaged lines is first copied to a ``.damaged`` file beside it.

    A file that keeps all of its records is not rewritten.

    Raises:
        InputError: as from ``examine``.
    """
    trials, curves, proposals = _read(run)
    whole = _examine(run, trials, curves, proposals)
    _write(trials, whole.trials, to_csv(TRIAL_COLUMNS, *(record.to_row().values() for record in whole.trials)))
    _write(curves, whole.epochs, to_csv(CURVE_COLUMNS, *itertools.starmap(epoch_row, whole.epochs)))
    _write(proposals, whole.proposals, "".join(f"{proposal.to_line()}\n" for proposal in whole.proposals))
    finished = {record.trial for record in whole.trials}
    run.keep_checkpoints({trial for trial, _ in whole.epochs if trial not in finished})
    return whole


def _read(run: RunDirectory) -> tuple[Lines[TrialRecord], Lines[tuple[int, EpochRecord]], Lines[Proposal]]:
    return run.read_lines(TRIALS), run.read_lines(CURVES), run.read_lines(PROPOSALS)


def _examine(
    run: RunDirectory, trials: Lines[TrialRecord], curves: Lines[tuple[int, EpochRecord]], proposals: Lines[Proposal]
) -> RunRecords:
    chains: defaultdict[int, list[EpochRecord]] = defaultdict(list)
    for trial, epoch in curves.records:
        if epoch.epoch == len(chains[trial]) + 1:
            chains[trial].append(epoch)
    rows = {record.trial: record for record in reversed(trials.records)}  # the first one counts
    finished = {trial: record for trial, record in rows.items() if len(chains[trial]) >= record.epochs}
    known = {trial: record.epochs for trial, record in finished.items()}
    for trial in chains.keys() - known.keys():
        checkpoint = run.checkpoint(trial)
        is_reached = checkpoint is not None and checkpoint.epoch <= len(chains[trial])
        known[trial] = checkpoint.epoch if checkpoint and is_reached else 0
    kept, discarded, seen = [], [], set()
    for trial, epoch in curves.records:
        if epoch.epoch <= known[trial] and (trial, epoch.epoch) not in seen:
            seen.add((trial, epoch.epoch))
            kept.append((trial, epoch))
        else:
            discarded.append(epoch)
    whole = [record for record in trials.records if finished.get(record.trial) is record]
    proposed = {proposal.trial: proposal for proposal in reversed(proposals.records)}
    lost = [record for record in whole if record.trial not in proposed]
    proposed |= {r.trial: Proposal(r.trial, r.label, r.configuration) for r in lost}
    notes = [f"{lines}; what is whole is kept" for lines in (trials, curves, proposals) if lines.damaged]
    if again := sorted(rows.keys() - finished.keys()):
        notes.append(f"trials {', '.join(map(str, again))}: not whole, so they run again")
    return RunRecords(
        trials=whole,
        epochs=kept,
        proposals=[
            *(proposal for proposal in proposals.records if proposed[proposal.trial] is proposal),
            *(proposed[record.trial] for record in lost),
        ],
        discarded=discarded,
        notes=notes,
    )


def _write(lines: Lines[Any], kept: Sequence[Any], text: str) -> None:
    if lines.damaged and lines.file.exists():
        put_aside(lines.file)
    if lines.damaged or lines.is_cut or len(kept) != len(lines.records):
        replace(lines.file, text.encode())
