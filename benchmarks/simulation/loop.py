"""The event loop of a simulated search: the product's queue and sampler, a rule, workers, and curves from a table."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from bloodtune.tuning import trial_queue
from bloodtune.tuning.asha import CONTINUE, PAUSE, STOP
from bloodtune.tuning.sampler import draw_seed
from bloodtune.tuning.trial_queue import TrialQueue
from curves.tables import Curve, Table


class Rule(trial_queue.Rule, Protocol):
    """A rule of the product's queue that also says where the rungs of each trial are."""

    def next_rung(self, number: int, epoch: int) -> int:
        """Return the epoch after which a trial that has trained ``epoch`` epochs reports."""


@dataclass(frozen=True)
class Report:
    """A trial at a rung. ``seconds`` is the time of the search, ``epochs`` are those that all trials have trained."""

    seconds: float
    epochs: int
    trial: int
    epoch: int
    value: float


@dataclass
class Search:
    """Record of a simulated search: reports in order of time, the curve of each trial, and when each proposal came.

    ``proposed`` has, per trial number, the number of reports before its proposal.
    """

    reports: list[Report] = field(default_factory=list)
    curves: dict[int, Curve] = field(default_factory=dict)
    proposed: list[int] = field(default_factory=list)


def simulate(table: Table, queue: TrialQueue, rule: Rule, *, workers: int = 1, seed: int = 0) -> Search:
    """Run a whole search. Equal seeds give equal searches.

    A worker that is free takes the trial that the queue gives it.
    """
    queue.rule = rule
    search, reached = Search(), dict[int, int]()
    running: list[tuple[float, int, int]] = []  # end in seconds, trial, rung
    now, spent = 0.0, 0

    def train(number: int) -> None:
        first = reached.get(number, 0)
        rung = rule.next_rung(number, first)
        seconds = search.curves[number].epochs[0].seconds * (rung - first)
        heapq.heappush(running, (now + seconds, number, rung))

    while True:
        while len(running) < workers and (live := queue.next()) is not None:
            if live.number not in search.curves:
                search.curves[live.number] = table.curve(live.proposal.configuration, draw_seed(seed, live.number))
                search.proposed.append(len(search.reports))
            train(live.number)
        if not running:
            break
        now, number, rung = heapq.heappop(running)
        epochs = search.curves[number].epochs[reached.get(number, 0) : rung]
        queue.report(number, epochs)
        reached[number], spent = rung, spent + len(epochs)
        value = epochs[-1].val_macro_f1
        search.reports.append(Report(now, spent, number, rung, value))
        verdict = STOP if rung == queue.recipe.asha.last_epoch else queue.decide(number, rung, value)
        if verdict == CONTINUE:
            train(number)
        elif verdict == PAUSE:
            queue.pause(number)
        else:
            queue.finish(number)
    return search
