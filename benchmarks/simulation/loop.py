"""The event loop of a simulated search: the product's queue and sampler, a rule, workers, and curves from a table."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from bloodtune.tuning.sampler import draw_seed
from bloodtune.tuning.trial_queue import TrialQueue
from curves.tables import Curve, Table

GO, STOP, PAUSE = "go", "stop", "pause"


class Rule(Protocol):
    """A stopping rule: which trials go on after a rung."""

    def next_rung(self, number: int, epoch: int) -> int:
        """Return the epoch after which a trial that has trained ``epoch`` epochs reports."""

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Return GO, STOP or PAUSE for a trial at a rung, and the reason."""

    def resume(self) -> int | None:
        """Return a paused trial that goes on now, or None."""


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
    """What happened in a search: reports in order of time, the curve of each trial, and the time of each proposal.

    ``proposed`` has, per trial number, the number of reports before its proposal.
    """

    reports: list[Report] = field(default_factory=list)
    curves: dict[int, Curve] = field(default_factory=dict)
    proposed: list[int] = field(default_factory=list)


def simulate(table: Table, queue: TrialQueue, rule: Rule, *, workers: int = 1, seed: int = 0) -> Search:
    """Run a whole search. Equal seeds give equal searches.

    A worker that is free takes a paused trial if the rule has one, else a new trial. Trials that are paused at the end
    are finished as they stand.
    """
    search, reached = Search(), dict[int, int]()
    running: list[tuple[float, int, int]] = []  # end in seconds, trial, rung
    now, spent = 0.0, 0

    def train(number: int) -> None:
        first = reached.get(number, 0)
        rung = rule.next_rung(number, first)
        seconds = search.curves[number].epochs[0].seconds * (rung - first)
        heapq.heappush(running, (now + seconds, number, rung))

    while True:
        while len(running) < workers and (number := _next_trial(table, queue, rule, search, seed)) is not None:
            train(number)
        if not running:
            break
        now, number, rung = heapq.heappop(running)
        epochs = search.curves[number].epochs[reached.get(number, 0) : rung]
        queue.report(number, epochs)
        reached[number], spent = rung, spent + len(epochs)
        value = epochs[-1].val_macro_f1
        search.reports.append(Report(now, spent, number, rung, value))
        is_whole = rung == queue.recipe.asha.max_epochs
        verdict, queue.live[number].stopped = (STOP, "") if is_whole else rule.decide(number, rung, value)
        if verdict == GO:
            train(number)
        elif verdict == STOP:
            queue.finish(number)
    for number in list(queue.live):
        queue.finish(number)
    return search


def _next_trial(table: Table, queue: TrialQueue, rule: Rule, search: Search, seed: int) -> int | None:
    # A paused trial, a new one, or None if there is neither.
    number = rule.resume()
    if number is None and (live := queue.next()) is not None:
        number = live.number
        search.curves[number] = table.curve(live.proposal.configuration, draw_seed(seed, number))
        search.proposed.append(len(search.reports))
    return number
