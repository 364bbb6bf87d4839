"""A search without Ray: the product's own sampler, queue and stopping rule over curves from a table."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable

import numpy as np

from bloodtune.run.records import COMPLETE, PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.asha import CappedHalving
from bloodtune.tuning.sampler import StudySampler, draw_seed
from bloodtune.tuning.trial_queue import Sampler, TrialQueue

RECIPE = load_recipe("default")


def curve_of(configuration: Configuration) -> list[EpochRecord]:
    """Return a curve that rises faster and higher the closer the learning rate is to 0.003."""
    worth = 1 / (1 + abs(np.log10(configuration.learning_rate / 0.003)))
    scores = worth * (1 - 0.7 / np.arange(1, RECIPE.asha.max_epochs + 1))
    return [EpochRecord(epoch, 1.0, 1.0, score, score, 1.0) for epoch, score in enumerate(map(float, scores), start=1)]


def simulate(sampler: Sampler, budget: int) -> TrialQueue:
    """Run a whole search with one worker."""
    queue = TrialQueue(RECIPE, sampler, budget=budget)
    rule = CappedHalving(RECIPE.asha, enqueued=len(RECIPE.enqueued))
    while live := queue.next():
        for epoch in curve_of(live.proposal.configuration):
            queue.report(live.number, [epoch])
            should_stop, live.stopped = rule.decide(live.number, epoch.epoch, epoch.val_macro_f1)
            if should_stop:
                break
        queue.finish(live.number)
    return queue


def score(configuration: Configuration, epoch: int) -> float:
    """Return a score that depends on nothing but the configuration and the epoch."""
    digest = hashlib.sha256(json.dumps(configuration.to_mapping(), sort_keys=True).encode()).hexdigest()
    return round(int(digest[:8], 16) / 2**32 * (1 - 0.5 / epoch), 6)


def test_a_seed_gives_the_trials_that_it_gave_before_the_package_had_rooms() -> None:
    # Written by the searcher and the scheduler of commit 7bd5c2c. numpy's exponentials differ in the last digits
    # between AVX2 and AVX-512, hence six digits; without AVX-512 the exact values are those of 7bd5c2c.
    queue = TrialQueue(RECIPE, StudySampler(RECIPE, seed=5), budget=40)
    rule = CappedHalving(RECIPE.asha, enqueued=len(RECIPE.enqueued))
    trials = []
    while live := queue.next():
        configuration = live.proposal.configuration
        for epoch in range(1, RECIPE.asha.max_epochs + 1):
            value = score(configuration, epoch)
            queue.report(live.number, [EpochRecord(epoch, 1.0, 1.0, value, value, 1.0)])
            if rule.decide(live.number, epoch, value)[0]:
                break
        queue.finish(live.number)
        values = {name: f"{v:.6g}" if isinstance(v, float) else v for name, v in configuration.to_mapping().items()}
        trials.append((draw_seed(5, live.number), values, epoch))
    expected = [27, 27, 1, 1, 1, 3, 1, 1, 1, 9, 1, 3, 27, 1, 1, 1, 3, 1, 1, 1]
    expected += [9, 1, 3, 27, 1, 1, 3, 1, 3, 3, 1, 1, 27, 27, 1, 1, 1, 3, 1, 9]
    assert [epochs for _, _, epochs in trials] == expected
    digest = hashlib.sha256(json.dumps(trials, sort_keys=True).encode()).hexdigest()
    assert digest == "9245e23b81dc0102dcf5b77b2d23916c0dc0dc3f43ffd34d6fb7ac3d4793732c"


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


def test_a_search_over_a_table_needs_no_ray_and_prunes_with_reasons() -> None:
    queue = simulate(StudySampler(RECIPE, seed=0), 24)
    states = [record.state for record in queue.finished]
    assert [record.trial for record in queue.finished] == list(range(24))
    assert {COMPLETE, PRUNED} == set(states)
    assert all((record.state == PRUNED) == bool(record.message) for record in queue.finished)
    assert all(record.epochs == RECIPE.asha.max_epochs for record in queue.finished if record.state == COMPLETE)
    again = simulate(StudySampler(RECIPE, seed=0), 24)
    assert [r.configuration for r in again.finished] == [r.configuration for r in queue.finished]


def test_a_sampler_of_ones_own_can_take_optunas_place() -> None:
    rows = [entry.configuration for entry in RECIPE.enqueued]
    queue = simulate(TableSampler(rows), 300)
    assert len(queue.finished) == 300
    assert {record.configuration for record in queue.finished} <= set(rows)
    promoted = sum(record.state == COMPLETE for record in queue.finished)
    assert promoted < 0.2 * 300


def test_a_queue_imports_neither_ray_nor_optuna() -> None:
    code = (
        "import sys, bloodtune.tuning.trial_queue, bloodtune.tuning.asha; print({'ray', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
