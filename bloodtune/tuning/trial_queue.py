"""The queue of a search's trials: numbers, configurations, pauses, retries, curves and outcomes; no Ray, no Optuna."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.records import (
    COMPLETE,
    FAILED,
    PAUSED,
    PRUNED,
    RUNNING,
    EpochRecord,
    Proposal,
    TrialRecord,
    best_record,
)
from bloodtune.run.repair import RunRecords
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Recipe
from bloodtune.tuning.asha import PAUSE, WaitingHalving
from bloodtune.tuning.live_trial import LiveTrial

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


class Rule(Protocol):
    """A rule of which trials go on at rungs, with the methods of ``WaitingHalving``."""

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Return CONTINUE, PAUSE or STOP for a trial after ``epoch``, and the reason of a STOP."""

    def resume(self, *, is_last: bool = False) -> int | None:
        """Return the paused trial that goes on now; ``is_last``: none runs and none will start."""

    def dismiss(self, *, is_last: bool = False) -> Iterable[tuple[int, str]]:
        """Return the paused trials that end now, with their reasons."""


class Recorder(Protocol):
    """A place where proposals, epochs and trials are recorded before they count."""

    def proposed(self, proposal: Proposal) -> None:
        """Record a proposal before its trial starts."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Record new epochs of a trial."""

    def improved(self, record: TrialRecord, model: ModelFiles | None) -> None:
        """Record the best trial so far, which is paused or ends now, and its model if it has a new one."""

    def finished(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        """Record the outcome of a trial."""


class TrialQueue:
    """The ``budget`` trials of a search, from their proposal to their outcome.

    A search without Ray is a loop over ``next``, ``report``, ``decide`` and ``pause`` or ``finish``
    (tests/support/queue_fixtures.py has one). Trials that an earlier start left running come first, under their
    numbers and with the epochs up to their checkpoint. Those that it left at a rung are paused.
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
        self.live: dict[int, LiveTrial] = {}  # on workers
        self.paused: dict[int, LiveTrial] = {}
        self.finished: list[TrialRecord] = list(records.trials)
        self.repeated: list[EpochRecord] = []  # epochs that were trained again after a process had died
        self.epochs_before = 0  # epochs that unfinished trials of earlier starts had when they went on
        self.suggest_seconds = 0.0
        asha = recipe.asha
        self.halving = WaitingHalving(asha.rungs, asha.factors, trials=budget)
        self.rule: Rule = self.halving  # benchmarks/ put others in its place
        self._sampler = sampler
        self._recorders = recorders
        self._retried: deque[LiveTrial] = deque()
        self._proposed = {proposal.trial: proposal for proposal in records.proposals}
        self._curves = records.curves()
        self._parameters = records.parameters
        self._restore(records)
        self._best = best_record([*self.finished, *(live.record(PAUSED) for live in self.paused.values())])
        if self._best:
            self._tell_best(self._best, None)
        known = {record.trial for record in self.finished} | self._proposed.keys()
        self._numbers = (number for number in range(budget) if number not in known)

    def next(self) -> LiveTrial | None:
        """Return the next trial to train: one that is retried, else a paused one that may go on, else a new one.

        None says that nothing can be trained now. If no trial is running either, the paused ones have ended.
        """
        live = self._retried.popleft() if self._retried else self._resume() or self._propose_next()
        if live is None and not self.live:
            live = self._resume(is_last=True)
            if live is None:
                self._dismiss(is_last=True)
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

    def decide(self, number: int, epoch: int, value: float) -> str:
        """Return the decision of the rule on a trial after ``epoch``; ``pause`` or ``finish`` must follow."""
        verdict, reason = self.rule.decide(number, epoch, value)
        live = self.live[number]
        live.stopped, live.is_pausing = reason, verdict == PAUSE
        return verdict

    def pause(self, number: int, *, model: ModelFiles | None = None) -> None:
        """Take a trial off its worker; it waits at its rung until it goes on or ends."""
        live = self.live.pop(number)
        live.is_pausing = False
        self.paused[number] = live
        self._compare(live.record(PAUSED), model)
        self._dismiss()

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

    def finish(self, number: int, *, failure: str = "", model: ModelFiles | None = None) -> TrialRecord:
        """Take the outcome of a trial: FAILED with a ``failure``, COMPLETE at the last epoch, else PRUNED.

        ``model`` is the trial's model after its last epoch; a trial that is not the best needs none.
        """
        record = self._end(self.live.pop(number), failure, model)
        self._dismiss()
        return record

    def score_to_beat(self, live: LiveTrial) -> float:
        """Return the score that makes a trial the best one, or 0 if its epochs so far have reached it."""
        score = self._best.best_val_macro_f1 or 0.0 if self._best else 0.0
        return 0.0 if any(epoch.val_macro_f1 >= score for epoch in live.epochs) else score

    @property
    def kept_trial(self) -> int | None:
        """The trial whose model is kept: the best one among those that are paused or have ended."""
        return self._best.trial if self._best else None

    def best(self) -> TrialRecord | None:
        """Return the best trial so far; one that has not finished has a state that no row on disk has."""
        running = [live.record(RUNNING) for live in list(self.live.values())]
        return best_record(filter(None, (self._best, *running)))

    def _restore(self, records: RunRecords) -> None:
        # By number: a study with another order of trials would propose others.
        finished = {record.trial: record for record in records.trials}
        for number in sorted(finished.keys() | self._proposed.keys()):
            epochs = self._curves.get(number, [])
            values = [epoch.val_macro_f1 for epoch in epochs]
            if record := finished.get(number):
                self._sampler.replay(record, epochs)
                if record.state == FAILED:
                    self.halving.fail(number)
                else:
                    self.halving.restore(number, values, ended=True)
            elif number < self.budget:
                live = self._start(self._proposed[number])
                self._sampler.ask(number, live.proposal.configuration)
                self._tell_curve(live)
                self.halving.restore(number, values)
                if epochs and epochs[-1].epoch in self.recipe.asha.rungs:
                    self.paused[number] = live
                else:
                    self._retried.append(live)

    def _resume(self, *, is_last: bool = False) -> LiveTrial | None:
        number = self.rule.resume(is_last=is_last)
        return None if number is None else self.paused.pop(number)

    def _dismiss(self, *, is_last: bool = False) -> None:
        # End the paused trials that cannot go on any more; at the end of the search, all that are left.
        reasons = dict(self.rule.dismiss(is_last=is_last))
        for number in sorted(self.paused) if is_last else reasons:
            live = self.paused.pop(number)
            live.stopped = reasons.get(number, "")
            self._end(live)

    def _end(self, live: LiveTrial, failure: str = "", model: ModelFiles | None = None) -> TrialRecord:
        is_whole = bool(live.epochs) and live.epochs[-1].epoch >= self.recipe.asha.last_epoch
        state = FAILED if failure else COMPLETE if is_whole else PRUNED
        if state == FAILED:
            self.halving.fail(live.number)
        record = live.record(state, failure or (live.stopped if state == PRUNED else ""))
        self._compare(record, model)
        for recorder in self._recorders:
            recorder.finished(record, live.epochs)
        self._sampler.tell(record)
        self.finished.append(record)
        return record

    def _compare(self, record: TrialRecord, model: ModelFiles | None) -> None:
        # Take note of a trial that pauses or ends, if it is the best one or was.
        best = self._best
        if best and best.trial == record.trial:
            if record.state == FAILED:
                self._best = best_record([*self.finished, *(live.record(PAUSED) for live in self.paused.values())])
                record, model = self._best or record, None
            best = None
        if best_record(filter(None, (best, record))) is record:
            self._best = record
            self._tell_best(record, model)

    def _tell_best(self, record: TrialRecord, model: ModelFiles | None) -> None:
        for recorder in self._recorders:
            recorder.improved(record, model)

    def _propose_next(self) -> LiveTrial | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        started = time.perf_counter()
        proposal = self._propose(number)
        self.suggest_seconds += time.perf_counter() - started
        live = self._start(proposal)
        self._tell_curve(live)
        return live

    def _propose(self, number: int) -> Proposal:
        known = self.recipe.enqueued[number] if number < len(self.recipe.enqueued) else None
        configuration = self._sampler.ask(number, known.configuration if known else None)
        proposal = Proposal(number, known.label if known else "", configuration)
        for recorder in self._recorders:
            recorder.proposed(proposal)
        return proposal

    def _start(self, proposal: Proposal) -> LiveTrial:
        # With the epochs of an earlier start.
        epochs = list(self._curves.get(proposal.trial, ()))
        self.epochs_before += len(epochs)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return LiveTrial(proposal, started, epochs, parameters=self._parameters.get(proposal.trial))

    def _tell_curve(self, live: LiveTrial) -> None:
        for epoch in live.epochs:
            self._sampler.report(live.number, epoch.epoch, epoch.val_macro_f1)
