"""A queue of trials without Ray: curves from a table, and a loop in the place of Tune."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.records import EpochRecord, Proposal, TrialRecord
from bloodtune.run.repair import RunRecords
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Asha
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.asha import CONTINUE, PAUSE, STOP
from bloodtune.tuning.live_trial import LiveTrial
from bloodtune.tuning.trial_queue import Sampler, TrialQueue

RECIPE = dataclasses.replace(load_recipe("default"), asha=Asha(max_epochs=27, first_rung=1, reduction_factor=3))


def curve_of(configuration: Configuration) -> list[EpochRecord]:
    """Return a curve that rises faster and higher the closer the learning rate is to 0.003."""
    worth = 1 / (1 + abs(np.log10(configuration.learning_rate / 0.003)))
    scores = worth * (1 - 0.7 / np.arange(1, RECIPE.asha.max_epochs + 1))
    return [EpochRecord(epoch, 1.0, 1.0, score, score, 1.0) for epoch, score in enumerate(map(float, scores), start=1)]


def simulate(queue: TrialQueue, most: int | None = None) -> None:
    """Run a search with one worker, or its first ``most`` stretches of training between rungs."""
    for _ in itertools.count() if most is None else range(most):
        live = queue.next()
        if live is None:
            return
        verdict = CONTINUE
        for epoch in curve_of(live.proposal.configuration)[len(live.epochs) :]:
            queue.report(live.number, [epoch])
            verdict = queue.decide(live.number, epoch.epoch, epoch.val_macro_f1)
            if verdict != CONTINUE:
                break
        if verdict == PAUSE:
            queue.pause(live.number)
        else:
            queue.finish(live.number)


class TableSampler:
    """Draws one of a few configurations at random and learns nothing."""

    def __init__(self, rows: list[Configuration]) -> None:
        self._rows = rows
        self._generator = np.random.default_rng(0)

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        return known or self._rows[self._generator.integers(len(self._rows))]

    def report(self, number: int, epoch: int, value: float) -> None: ...

    def tell(self, record: TrialRecord) -> None: ...

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None: ...


def search(sampler: Sampler, budget: int) -> TrialQueue:
    queue = TrialQueue(RECIPE, sampler, budget=budget)
    simulate(queue)
    return queue


def running(queue: TrialQueue, count: int) -> list[LiveTrial]:
    return [live for _ in range(count) if (live := queue.next())]


def reach(queue: TrialQueue, live: LiveTrial, epoch: int, value: float) -> str:
    """Report a trial up to a rung and do as the rule decides."""
    fresh = [EpochRecord(e, 1.0, 1.0, value, value, 1.0) for e in range(len(live.epochs) + 1, epoch + 1)]
    queue.report(live.number, fresh)
    verdict = queue.decide(live.number, epoch, value)
    if verdict == PAUSE:
        queue.pause(live.number)
    elif verdict == STOP:
        queue.finish(live.number)
    return verdict


def make_queue(budget: int, **options: Any) -> TrialQueue:
    return TrialQueue(
        RECIPE, TableSampler([entry.configuration for entry in RECIPE.enqueued]), budget=budget, **options
    )


class Notes:
    """A recorder that notes the best trial with its model, and outcomes."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def proposed(self, proposal: Proposal) -> None: ...

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None: ...

    def improved(self, record: TrialRecord, model: ModelFiles | None) -> None:
        self.told.append((record.trial, record.state, record.best_val_macro_f1, model))

    def finished(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        self.told.append(record.trial)


def records_of(queue: TrialQueue) -> RunRecords:
    """Return the records of a search as they are on disk when its driver dies between two reports."""
    unfinished = {**queue.live, **queue.paused}
    curves = {number: live.epochs for number, live in unfinished.items()}
    for record in queue.finished:
        curves[record.trial] = curve_of(record.configuration)[: record.epochs]
    proposals = [Proposal(r.trial, r.label, r.configuration) for r in queue.finished]
    proposals += [live.proposal for live in unfinished.values()]
    epochs = [(number, epoch) for number, curve in curves.items() for epoch in curve]
    return RunRecords(list(queue.finished), epochs, sorted(proposals, key=lambda proposal: proposal.trial))
