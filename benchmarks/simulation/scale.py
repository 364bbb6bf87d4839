"""Scale: seconds of searches on many simulated workers, time of a suggestion and memory after many trials."""

from __future__ import annotations

import copy
import dataclasses
import time
import tracemalloc
from typing import Any

from bloodtune.tuning.trial_queue import TrialQueue
from curves.tables import Table
from simulation.field import ALGORITHMS, DEFAULT, adapted
from simulation.loop import simulate

WORKERS = (64, 256)
BUDGETS = (64, 256, 1000, 10_000)
TOLD = (100, 1000, 10_000)  # trials that a sampler knows
SUGGESTIONS = 3  # timed ones; the fastest counts
# The default with proposals that take no time.
RULE = dataclasses.replace(
    ALGORITHMS["random-capped"], title="random + the default's rule", given=ALGORITHMS[DEFAULT].given
)


def speed_up(table: Table, trials: int, workers: int, seed: int = 0) -> float:
    """Return the seconds of a search on one worker over ``workers`` times the seconds on ``workers`` workers."""
    alone, together = (
        RULE.search(table, budget=trials, workers=count, seed=seed)[0].reports[-1].seconds for count in (1, workers)
    )
    return alone / (workers * together)


def suggestion_seconds(table: Table, told: int) -> tuple[float, float]:
    """Return the processor seconds of a suggestion of the default's sampler after ``told`` random trials of a search.

    The second number is the megabytes that the queue and the sampler hold then. Ray's part is not in it.
    """
    table = copy.copy(adapted(table, RULE))
    table.recipe = recipe = dataclasses.replace(table.recipe, startup_trials=told, enqueued=())
    tracemalloc.start()
    sampler = ALGORITHMS[DEFAULT].sampler(table, 0)
    queue = TrialQueue(recipe, sampler, budget=told)
    simulate(table, queue, RULE.rule(recipe, queue))
    megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    seconds = []
    for number in range(told, told + SUGGESTIONS):
        started = time.process_time()  # other programs do not count
        sampler.ask(number)
        seconds.append(time.process_time() - started)
    return min(seconds), megabytes


def print_scale(table: Table) -> dict[str, dict[str, Any]]:
    """Print both tables, and return their figures."""
    print(f"\n{table.collection}, {table.task}: share of linear speed-up, {RULE.title}")
    print(f"{'trials':>8} " + " ".join(f"{count:>6} workers" for count in WORKERS))
    shares: dict[str, float] = {}
    for trials in BUDGETS:
        found = [speed_up(table, trials, count) for count in WORKERS]
        shares |= {f"{trials}/{count}": round(share, 3) for count, share in zip(WORKERS, found, strict=True)}
        print(f"{trials:>8} " + " ".join(f"{share:>14.0%}" for share in found))
    print(f"\n{'trials':>8} ms a suggestion   MB of queue and sampler")
    suggestions: dict[str, float] = {}
    memory: dict[str, float] = {}
    for told in TOLD:
        seconds, megabytes = suggestion_seconds(table, told)
        suggestions[str(told)], memory[str(told)] = round(seconds, 4), round(megabytes, 1)
        print(f"{told:>8} {1000 * seconds:>15.1f} {megabytes:>25.1f}")
    return {"speed_up": shares, "suggestion_seconds": suggestions, "queue_megabytes": memory}
