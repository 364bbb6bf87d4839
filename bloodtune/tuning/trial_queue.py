"""The queue of a search's trials: their numbers, configurations, retries, curves and outcomes; no Ray, no Optuna."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from bloodtune.run.model import ModelFiles
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, RUNNING, EpochRecord, Proposal, TrialRecord, best_record
from bloodtune.run.repair import RunRecords
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Recipe

# Retries of a trial whose process died. After them the trial is FAILED.
RETRIES = 3


class Sampler(Protocol):
    """A source of configurations that learns from curves and outcomes."""

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        """Return the configuration of a trial: the ``known`` one if given, else a new proposal."""

    def report(self, number: int, epoch: int, value: float) -> None:
        """Report a trial's objective after an epoch."""

    def tell(self, record: TrialRecord) -> None:
        """Record the outcome of a proposed trial."""

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None:
        """Add a finished trial of an earlier start of the search."""


class Recorder(Protocol):
    """A place where proposals, epochs and trials are recorded before they count."""

    def proposed(self, proposal: Proposal) -> None:
        """Record a proposal before its trial starts."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Record new epochs of a trial."""

    def finished(
        self, record: TrialRecord, epochs: Sequence[EpochRecord], *, is_best: bool, model: ModelFiles | None
    ) -> None:
        """Record the outcome of a trial, and its model if it is the best so far."""


@dataclass
class LiveTrial:
    """A trial that was proposed and has not finished, with its epochs so far.

    ``overdue`` and ``stopped`` say why the trial was killed or pruned; they are empty while it may go on.
    """

    proposal: Proposal
    started: str
    epochs: list[EpochRecord] = field(default_factory=list)
    retries: int = 0
    overdue: str = ""
    stopped: str = ""

    @property
    def number(self) -> int:
        """The trial's number in the search."""
        return self.proposal.trial

    def record(self, state: str, message: str = "", parameters: int | None = None) -> TrialRecord:
        """Return the row of ``trials.csv`` if the trial finished now."""
        last = self.epochs[-1] if self.epochs else None
        best = max(self.epochs, key=lambda epoch: epoch.val_macro_f1, default=None)
        return TrialRecord(
            trial=self.number,
            state=state,
            epochs=last.epoch if last else 0,
            val_macro_f1=last.val_macro_f1 if last else None,
            best_val_macro_f1=best.val_macro_f1 if best else None,
            best_epoch=best.epoch if best else None,
            val_accuracy=last.val_accuracy if last else None,
            train_seconds=round(sum(epoch.seconds for epoch in self.epochs), 3),
            parameters=parameters,
            started=self.started,
            retries=self.retries,
            label=self.proposal.label,
            message=message,
            configuration=self.proposal.configuration,
        )


class TrialQueue:
    """The ``budget`` trials of a search, from their proposal to their outcome.

    A search without Ray is a loop over ``next``, ``report`` and ``finish`` (tests/tuning/test_trial_queue.py has one).
    Trials that an earlier start left unfinished come first, under their numbers and with the epochs up to their
    checkpoint.
    """

    def __init__(
        self,
        recipe: Recipe,
        sampler: Sampler,
        *,
        budget: int,
        records: RunRecords | None = None,
        recorders: Sequence[Recorder] = (),
    ) -> None:
        """``records`` are those of earlier starts; each of ``recorders`` records all events, in their order."""
        records = records or RunRecords()
        self.recipe = recipe
        self.budget = budget
        self.live: dict[int, LiveTrial] = {}
        self.finished: list[TrialRecord] = list(records.trials)
        self.repeated: list[EpochRecord] = []  # epochs that were trained again after a process had died
        self.epochs_before = 0  # epochs that unfinished trials of earlier starts had when they went on
        self.suggest_seconds = 0.0
        self._sampler = sampler
        self._recorders = recorders
        self._best = best_record(self.finished)
        self._retried: deque[LiveTrial] = deque()
        self._proposed = {proposal.trial: proposal for proposal in records.proposals}
        self._curves = records.curves()
        done = {record.trial for record in self.finished}
        for record in sorted(self.finished, key=lambda record: record.trial):
            sampler.replay(record, self._curves.get(record.trial, ()))
        self._numbers = (number for number in range(budget) if number not in done)

    def next(self) -> LiveTrial | None:
        """Return the next trial to run: one that is retried, else a new one; None when all have started."""
        live = self._retried.popleft() if self._retried else self._propose_next()
        if live is not None:
            self.live[live.number] = live
        return live

    def report(self, number: int, epochs: Sequence[EpochRecord]) -> None:
        """Record the epochs since a trial's last report; a retry repeats some of them."""
        live = self.live[number]
        last = live.epochs[-1].epoch if live.epochs else 0
        fresh = [epoch for epoch in epochs if epoch.epoch > last]
        self.repeated += [epoch for epoch in epochs if epoch.epoch <= last]
        if not fresh:
            return
        for recorder in self._recorders:
            recorder.epochs(live.proposal, fresh)
        live.epochs += fresh
        for epoch in fresh:
            self._sampler.report(number, epoch.epoch, epoch.val_macro_f1)

    def retry(self, number: int) -> bool:
        """Put a trial whose process died at the head of the queue; return False if no retries are left."""
        live = self.live[number]
        if live.retries >= RETRIES or live.overdue:
            return False
        live.retries += 1
        self._retried.append(self.live.pop(number))
        return True

    def drop(self, number: int) -> None:
        """Forget a trial that no worker could start; a resumed search runs it."""
        self.live.pop(number, None)

    def finish(
        self, number: int, *, failure: str = "", parameters: int | None = None, model: ModelFiles | None = None
    ) -> TrialRecord:
        """Take the outcome of a trial: FAILED with a ``failure``, COMPLETE at the last epoch, else PRUNED.

        ``model`` is the trial's model after its last epoch; a trial that is not the best needs none.
        """
        live = self.live.pop(number)
        is_whole = bool(live.epochs) and live.epochs[-1].epoch >= self.recipe.asha.max_epochs
        state = FAILED if failure else COMPLETE if is_whole else PRUNED
        record = live.record(state, failure or (live.stopped if state == PRUNED else ""), parameters)
        is_best = best_record(filter(None, (self._best, record))) is record
        for recorder in self._recorders:
            recorder.finished(record, live.epochs, is_best=is_best, model=model if is_best else None)
        self._sampler.tell(record)
        self.finished.append(record)
        if is_best:
            self._best = record
        return record

    def score_to_beat(self, live: LiveTrial) -> float:
        """Return the score that makes a trial the best one, or 0 if its epochs so far have reached it."""
        score = self._best.best_val_macro_f1 or 0.0 if self._best else 0.0
        return 0.0 if any(epoch.val_macro_f1 > score for epoch in live.epochs) else score

    def best(self) -> TrialRecord | None:
        """Return the best trial so far; one that still runs has the state RUNNING."""
        running = [live.record(RUNNING) for live in list(self.live.values())]
        return best_record(filter(None, (self._best, *running)))

    def rung_history(self) -> dict[int, dict[int, tuple[float, bool]]]:
        """Return, per rung and trial of earlier starts, the objective and whether the trial was promoted."""
        # A trial that failed after a rung, before its next epoch was reported, had been promoted; an unfinished trial
        # goes on from its checkpoint.
        last = {trial: len(epochs) + 1 for trial, epochs in self._curves.items()}
        last |= {record.trial: record.epochs + (record.state == FAILED) for record in self.finished}
        return {
            rung: {
                trial: (epochs[rung - 1].val_macro_f1, last[trial] > rung)
                for trial, epochs in self._curves.items()
                if len(epochs) >= rung
            }
            for rung in self.recipe.asha.rungs
        }

    def _propose_next(self) -> LiveTrial | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        started = time.perf_counter()
        proposal = self._propose(number)
        self.suggest_seconds += time.perf_counter() - started
        live = LiveTrial(proposal, datetime.now(UTC).isoformat(timespec="seconds"), list(self._curves.get(number, ())))
        for epoch in live.epochs:
            self._sampler.report(number, epoch.epoch, epoch.val_macro_f1)
        self.epochs_before += len(live.epochs)
        return live

    def _propose(self, number: int) -> Proposal:
        known = self._proposed.get(number)
        if known is None and number < len(self.recipe.enqueued):
            enqueued = self.recipe.enqueued[number]
            known = Proposal(number, enqueued.label, enqueued.configuration)
        configuration = self._sampler.ask(number, known.configuration if known else None)
        proposal = known or Proposal(number, "", configuration)
        if number not in self._proposed:
            for recorder in self._recorders:
                recorder.proposed(proposal)
            self._proposed[number] = proposal
        return proposal
