"""Forecast of a search: the epochs that its trials still need, and the seconds that these take."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bloodtune.run.records import FAILED, TrialRecord
from bloodtune.space.recipe import Recipe

_RECENT = 5  # trials of a stage that those to come resemble: a model's proposals get heavier or lighter
_PRIOR = 4.0  # in trials: weight of the seconds per epoch in the stage before


@dataclass(frozen=True)
class Forecast:
    """Epochs and seconds that a search still needs; ``seconds`` is infinite as long as no epoch is known."""

    epochs: int
    seconds: float


@dataclass
class _Stage:
    """The trainings from one rung to the next: how many are expected, have started and are done.

    ``running`` has the seconds left of each training that runs, ``first`` the seconds of those to start next, and
    ``seconds`` is the time of any other.
    """

    expected: int
    started: int
    done: int
    running: list[float]
    seconds: float
    first: list[float] = field(default_factory=list)


def forecast(recipe: Recipe, budget: int, trials: Sequence[TrialRecord], workers: int) -> Forecast:
    """Return the epochs and seconds left in a search of ``budget`` trials, given all that have started.

    A trial between two rungs runs; a trial at a rung waits or has ended. An epoch of a trial to come takes as long as
    those of the last trials in the same stage and in the stage before. Before there are any, it takes the mean over the
    recipe's families.
    """
    alive = sorted((trial for trial in trials if trial.state != FAILED), key=lambda trial: trial.trial)
    budget -= len(trials) - len(alive)
    epochs = [trial.epochs for trial in alive]
    left = max(0, recipe.asha.expected_epochs(budget, epochs) - sum(epochs))
    speeds = _seconds_per_epoch(alive)
    if not speeds:
        return Forecast(left, math.inf)
    stages = _stages(recipe, budget, alive, speeds)
    numbers = {trial.trial for trial in trials}
    coming = [entry.configuration.family for number, entry in enumerate(recipe.enqueued) if number not in numbers]
    first_end = recipe.asha.stage_ends[1]
    stages[0].first = [first_end * speeds.get(family, fmean(speeds.values())) for family in reversed(coming)]
    return Forecast(left, _play(stages, workers, recipe.asha.factors))


def _seconds_per_epoch(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Return the mean over the trials of each family that has finished an epoch."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        if trial.epochs:
            found.setdefault(trial.configuration.family, []).append(trial.train_seconds / trial.epochs)
    return {family: fmean(values) for family, values in found.items()}


def _stages(recipe: Recipe, budget: int, trials: Sequence[TrialRecord], speeds: Mapping[str, float]) -> list[_Stage]:
    other = fmean(speeds.values())  # of a family without an epoch
    searched = [family for p in recipe.parameters if p.field == "family" for family in p.choices or ()]
    seconds = fmean(speeds.get(family, other) for family in searched or speeds)
    speed = {trial.trial: speeds.get(trial.configuration.family, other) for trial in trials}
    speed |= {trial.trial: trial.train_seconds / trial.epochs for trial in trials if trial.epochs}
    expected = recipe.asha.expected_trials(budget, [trial.epochs for trial in trials])
    stages = []
    for count, (start, end) in zip(expected, itertools.pairwise(recipe.asha.stage_ends), strict=True):
        begun = [trial for trial in trials if trial.epochs > start or start == 0]
        seen = [speed[trial.trial] for trial in begun if start or trial.trial >= len(recipe.enqueued)][-_RECENT:]
        seconds = (sum(seen) + _PRIOR * seconds) / (len(seen) + _PRIOR)
        running = [(end - trial.epochs) * speed[trial.trial] for trial in begun if trial.epochs < end]
        stages.append(_Stage(count, len(begun), len(begun) - len(running), running, (end - start) * seconds))
    return stages


def _play(stages: Sequence[_Stage], workers: int, factors: Sequence[int]) -> float:
    """Return the seconds until all expected trainings are done, if a free worker takes one of the highest stage."""
    now = 0.0
    running = [(seconds, index) for index, stage in enumerate(stages) for seconds in stage.running]
    heapq.heapify(running)
    while True:
        while len(running) < workers and (index := _startable(stages, factors)) is not None:
            stage = stages[index]
            stage.started += 1
            heapq.heappush(running, (now + (stage.first.pop() if stage.first else stage.seconds), index))
        if not running:
            return now
        now, index = heapq.heappop(running)
        stages[index].done += 1


def _startable(stages: Sequence[_Stage], factors: Sequence[int]) -> int | None:
    # At each rung a share of 1 / its factor goes on, and the rest of those expected when no more come.
    for index in reversed(range(len(stages))):
        stage, below = stages[index], stages[index - 1]
        is_open = index == 0 or below.done >= below.expected
        places = stage.expected if is_open else min(stage.expected, below.done // factors[index - 1])
        if stage.started < places:
            return index
    return None
