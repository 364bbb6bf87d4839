"""Scale: seconds of searches on many simulated workers, and the time of a suggestion after many trials."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

from bloodtune.tuning.trial_queue import TrialQueue
from curves.tables import Table
from simulation.field import ALGORITHMS, DEFAULT
from simulation.loop import simulate

WORKERS = (64, 256)
BUDGETS = (64, 256, 1000, 10_000)
TOLD = (100, 1000, 10_000)  # trials that a sampler knows
SUGGESTIONS = 3  # timed ones; the fastest counts
RULE = "random-capped"  # proposals take no time there


def speed_up(table: Table, trials: int, workers: int, seed: int = 0) -> float:
    """Return the seconds of a search on one worker over ``workers`` times the seconds on ``workers`` workers."""
    alone, together = (
        ALGORITHMS[RULE].search(table, budget=trials, workers=count, seed=seed)[0].reports[-1].seconds
        for count in (1, workers)
    )
    return alone / (workers * together)


def suggestion_seconds(table: Table, told: int) -> float:
    """Return the seconds of a suggestion of the default's sampler after ``told`` random trials of a search."""
    table = copy.copy(table)
    table.recipe = recipe = dataclasses.replace(table.recipe, startup_trials=told, enqueued=())
    sampler = ALGORITHMS[DEFAULT].sampler(table, 0)
    queue = TrialQueue(recipe, sampler, budget=told)
    simulate(table, queue, ALGORITHMS[RULE].rule(recipe, queue))
    seconds = []
    for number in range(told, told + SUGGESTIONS):
        started = time.perf_counter()
        sampler.ask(number)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def print_scale(table: Table) -> dict[str, dict[str, Any]]:
    """Print both tables, and return their figures."""
    print(f"\n{table.collection}, {table.task}: share of linear speed-up, {ALGORITHMS[RULE].title}")
    print(f"{'trials':>8} " + " ".join(f"{count:>6} workers" for count in WORKERS))
    shares: dict[str, float] = {}
    for trials in BUDGETS:
        found = [speed_up(table, trials, count) for count in WORKERS]
        shares |= {f"{trials}/{count}": round(share, 3) for count, share in zip(WORKERS, found, strict=True)}
        print(f"{trials:>8} " + " ".join(f"{share:>14.0%}" for share in found))
    print(f"\n{'trials':>8} ms a suggestion")
    suggestions: dict[str, float] = {}
    for told in TOLD:
        suggestions[str(told)] = round(suggestion_seconds(table, told), 4)
        print(f"{told:>8} {1000 * suggestions[str(told)]:>15.1f}")
    return {"speed_up": shares, "suggestion_seconds": suggestions}
