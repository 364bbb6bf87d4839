"""A search without Ray: the product's own sampler, queue and stopping rule over curves from a table."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, Proposal, TrialRecord, make_record
from bloodtune.run.repair import RunRecords
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Asha
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.asha import CONTINUE, PAUSE, STOP
from bloodtune.tuning.live_trial import LiveTrial
from bloodtune.tuning.sampler import StudySampler, draw_seed
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


# Hyperparameters that are newer than the digests below, all off in this recipe.
LATER = {"rotation", "scale", "colour", "blur", "mixup", "cutmix"}


def values_of(configuration: Configuration) -> dict[str, Any]:
    return {name: value for name, value in configuration.to_mapping().items() if name not in LATER}


def score(configuration: Configuration, epoch: int) -> float:
    """Return a score that depends on nothing but the configuration and the epoch."""
    digest = hashlib.sha256(json.dumps(values_of(configuration), sort_keys=True).encode()).hexdigest()
    return round(int(digest[:8], 16) / 2**32 * (1 - 0.5 / epoch), 6)


def test_a_seed_gives_the_trials_that_it_gave_before() -> None:
    # numpy's exponentials differ in the last digits between AVX2 and AVX-512, hence six digits. The first 19 proposals
    # (nine enqueued, ten random) and the seeds are those of commit 7bd5c2c. The others follow from what the trials
    # reached. They were written anew when trials began to pause at rungs, when TPE began to learn from predicted scores
    # and when these began to differ by family: each changed them on purpose.
    queue = TrialQueue(RECIPE, StudySampler(RECIPE, seed=5), budget=40)
    proposals = {}
    while live := queue.next():
        configuration = live.proposal.configuration
        values = {name: f"{v:.6g}" if isinstance(v, float) else v for name, v in values_of(configuration).items()}
        proposals[live.number] = draw_seed(5, live.number), values
        verdict = CONTINUE
        for epoch in range(len(live.epochs) + 1, RECIPE.asha.max_epochs + 1):
            value = score(configuration, epoch)
            queue.report(live.number, [EpochRecord(epoch, 1.0, 1.0, value, value, 1.0)])
            verdict = queue.decide(live.number, epoch, value)
            if verdict != CONTINUE:
                break
        if verdict == PAUSE:
            queue.pause(live.number)
        else:
            queue.finish(live.number)
    trials = [proposals[number] for number in range(40)]
    assert digest(trials[:19]) == "27389ad2d88ed7c6f0764e2f24166e09d753e4b2c5d39a7ef0404264dd1d8c60"
    assert digest(trials) == "b6f61797faca6b4a46f4c7b8b425264bf63b233a7e110b058fc1d8bd84f925e9"
    expected = [3, 9, 1, 1, 1, 3, 1, 1, 1, 3, 1, 3, 27, 1, 3, 1, 3, 1, 1, 1]
    expected += [1, 1, 1, 1, 1, 1, 9, 1, 3, 1, 1, 9, 1, 3, 1, 1, 3, 1, 1, 1]
    assert [record.epochs for record in sorted(queue.finished, key=lambda record: record.trial)] == expected


def digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


def test_a_search_over_a_table_needs_no_ray_and_prunes_with_reasons() -> None:
    queue = search(StudySampler(RECIPE, seed=0), 24)
    assert (queue.live, queue.paused, queue.next()) == ({}, {}, None)
    assert sorted(record.trial for record in queue.finished) == list(range(24))
    assert Counter(record.epochs for record in queue.finished) == {1: 16, 3: 6, 9: 1, 27: 1}
    assert all((record.state == PRUNED) == bool(record.message) for record in queue.finished)
    assert all((record.state == COMPLETE) == (record.epochs == 27) for record in queue.finished)
    again = search(StudySampler(RECIPE, seed=0), 24)
    assert [r.configuration for r in again.finished] == [r.configuration for r in queue.finished]


def test_a_sampler_of_ones_own_can_take_optunas_place() -> None:
    rows = [entry.configuration for entry in RECIPE.enqueued]
    queue = search(TableSampler(rows), 300)
    assert {record.configuration for record in queue.finished} <= set(rows)
    assert Counter(record.epochs for record in queue.finished) == {1: 200, 3: 67, 9: 22, 27: 11}


def test_a_last_rung_leaves_the_rest_to_the_retraining() -> None:
    asha = dataclasses.replace(RECIPE.asha, first_rung=3, last_rung=9)
    recipe = dataclasses.replace(RECIPE, asha=asha)
    queue = TrialQueue(recipe, StudySampler(recipe, seed=0), budget=12)
    while live := queue.next():
        epochs = curve_of(live.proposal.configuration)[len(live.epochs) : 3 if not live.epochs else 9]
        queue.report(live.number, epochs)
        if queue.decide(live.number, epochs[-1].epoch, epochs[-1].val_macro_f1) == CONTINUE and len(live.epochs) == 3:
            epochs = curve_of(live.proposal.configuration)[3:9]
            queue.report(live.number, epochs)
        if live.is_pausing:
            queue.pause(live.number)
        else:
            queue.finish(live.number)
    assert Counter((record.state, record.epochs) for record in queue.finished) == {("PRUNED", 3): 8, ("COMPLETE", 9): 4}


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


def test_a_retried_trial_comes_before_a_paused_one_and_that_before_a_new_one() -> None:
    queue = make_queue(9)
    for value, live in zip((0.2, 0.4, 0.3), running(queue, 3), strict=True):
        reach(queue, live, 1, value)
    assert [live.number for live in running(queue, 2)] == [1, 3], "the best of the three, then a new one"
    assert queue.retry(3)
    assert [live.number for live in running(queue, 2)] == [3, 4]


def test_a_paused_trial_goes_on_with_its_epochs_and_ends_with_one_record() -> None:
    queue = make_queue(3)
    first, *others = running(queue, 3)
    reach(queue, first, 1, 0.9)
    assert (list(queue.paused), list(queue.live)) == ([0], [1, 2])
    assert queue.best() is not None and queue.best().state == "PAUSED"  # type: ignore[union-attr]
    for live in others:
        reach(queue, live, 1, 0.1)
    assert queue.finished == [] or all(record.epochs == 1 for record in queue.finished)
    again = queue.next()
    assert again is first
    assert [epoch.epoch for epoch in first.epochs] == [1]
    queue.report(0, curve_of(first.proposal.configuration)[1:])
    record = queue.finish(0)
    assert (record.state, record.epochs, record.train_seconds, record.retries) == (COMPLETE, 27, 27.0, 0)
    assert queue.next() is None
    assert sorted(record.trial for record in queue.finished) == [0, 1, 2]


def test_none_while_a_trial_runs_ends_no_paused_trial() -> None:
    queue = make_queue(4)
    trials = running(queue, 4)
    reach(queue, trials[0], 1, 0.5)
    assert queue.next() is None
    assert list(queue.paused) == [0], "the others may still make a place"
    assert [reach(queue, live, 1, 0.4) for live in trials[1:]] == [PAUSE] * 3
    assert queue.next() is trials[0]


def test_at_the_end_those_without_a_place_are_pruned_with_rank_and_places() -> None:
    queue = make_queue(6)
    for value, live in zip((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), running(queue, 6), strict=True):
        reach(queue, live, 1, value)
    queue.report(2, curve_of(RECIPE.enqueued[0].configuration)[1:])
    queue.finish(2)
    queue.report(5, curve_of(RECIPE.enqueued[0].configuration)[1:])
    queue.finish(5)
    assert queue.next() is None
    assert {record.trial: record.message for record in queue.finished if record.state == PRUNED} == {
        0: "epoch 1: 0.1000 is number 6 of 6, at most 2 go on",
        1: "epoch 1: 0.2000 is number 5 of 6, at most 2 go on",
        3: "epoch 1: 0.4000 is number 3 of 6, at most 2 go on",
        4: "epoch 1: 0.5000 is number 2 of 6, but no place of 2 was left",
    }


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


def test_the_model_of_a_paused_trial_counts_when_it_pauses_and_again_when_it_ends() -> None:
    notes, model = Notes(), ModelFiles({})
    queue = make_queue(9, recorders=[notes])
    first, second, third = running(queue, 3)
    for live, value in ((first, 0.5), (second, 0.4)):
        queue.report(live.number, [EpochRecord(1, 1.0, 1.0, value, value, 1.0)])
        assert queue.decide(live.number, 1, value) == PAUSE
        queue.pause(live.number, model=model)
    assert notes.told == [(0, "PAUSED", 0.5, model)], "the second is not the best"
    assert queue.score_to_beat(third) == 0.5
    queue.finish(2, failure="boom")
    assert queue.score_to_beat(first) == 0.0, "its next model takes the place of its former one"
    queue._dismiss(is_last=True)
    assert notes.told[1:] == [2, (0, "PRUNED", 0.5, None), 0, 1]


def test_a_best_trial_that_fails_after_its_pause_is_the_best_no_more() -> None:
    notes = Notes()
    queue = make_queue(9, recorders=[notes])
    for value, live in zip((0.2, 0.4, 0.3), running(queue, 3), strict=True):
        reach(queue, live, 1, value)
    assert [live.number for live in running(queue, 1)] == [1]
    queue.finish(1, failure="loss is nan")
    assert notes.told[-2:] == [(2, "PAUSED", 0.3, None), 1]
    assert queue.best() is not None and queue.best().trial == 2  # type: ignore[union-attr]


def test_a_resumed_search_tells_its_best_trial_unless_none_has_a_score() -> None:
    rows = [entry.configuration for entry in RECIPE.enqueued]
    proposals = [Proposal(number, "", rows[number]) for number in range(2)]
    failed, other = (make_record(proposal, curve_of(rows[0])[:1], FAILED) for proposal in proposals)
    notes = Notes()
    make_queue(9, recorders=[notes], records=RunRecords([failed], [], proposals))
    assert notes.told == []
    make_queue(9, recorders=[notes], records=RunRecords([failed, dataclasses.replace(other, state=PRUNED)]))
    assert [told[:2] for told in notes.told] == [(1, "PRUNED")]


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


@pytest.mark.parametrize("stretches", [1, 5, 12, 23, 31])
def test_a_search_that_was_interrupted_with_paused_trials_goes_on_as_one_that_was_not(stretches: int) -> None:
    whole = search(StudySampler(RECIPE, seed=1), 24)
    first = TrialQueue(RECIPE, StudySampler(RECIPE, seed=1), budget=24)
    simulate(first, stretches)
    second = TrialQueue(RECIPE, StudySampler(RECIPE, seed=1), budget=24, records=records_of(first))
    assert second.paused.keys() == first.paused.keys()
    assert second.epochs_before == sum(len(live.epochs) for live in first.paused.values())
    simulate(second)
    as_rows = [[dataclasses.replace(record, started="") for record in queue.finished] for queue in (whole, second)]
    assert as_rows[0] == as_rows[1]


def test_an_interrupted_trial_goes_on_before_a_paused_one_and_keeps_its_place() -> None:
    queue = make_queue(9)
    for value, live in zip((0.2, 0.4, 0.3), running(queue, 3), strict=True):
        reach(queue, live, 1, value)
    (live,) = running(queue, 1)
    queue.report(1, [EpochRecord(2, 1.0, 1.0, 0.5, 0.5, 1.0)])
    again = make_queue(9, records=records_of(queue))
    assert sorted(again.paused) == [0, 2]
    assert [live.number for live in running(again, 3)] == [1, 3, 4], "its place is taken"


def test_a_run_of_the_rule_that_never_paused_goes_on() -> None:
    rows = [entry.configuration for entry in RECIPE.enqueued]
    epochs = [1, 27, 3, 1, 27, 9, 1]
    finished, proposals, curves = [], [], []
    for number, count in enumerate(epochs):
        proposal, curve = Proposal(number, "", rows[number]), curve_of(rows[number])[:count]
        finished.append(make_record(proposal, curve, COMPLETE if count == 27 else PRUNED))
        proposals.append(proposal)
        curves += [(number, epoch) for epoch in curve]
    queue = make_queue(12, records=RunRecords(finished, curves, proposals))
    assert queue.paused == {}
    simulate(queue)
    assert sorted(record.trial for record in queue.finished) == list(range(12))
    assert [record for record in queue.finished if record.trial < 7] == finished


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_small_search_whose_best_trial_fails_completes_the_next_best(is_resumed: bool) -> None:
    queue = make_queue(3)
    for value, live in zip((0.2, 0.4, 0.3), running(queue, 3), strict=True):
        reach(queue, live, 1, value)
    assert [live.number for live in running(queue, 1)] == [1]
    queue.finish(1, failure="loss is nan")
    queue = make_queue(3, records=records_of(queue)) if is_resumed else queue
    simulate(queue)
    assert {record.trial: record.state for record in queue.finished} == {0: PRUNED, 1: FAILED, 2: COMPLETE}


def test_a_larger_budget_lets_as_many_new_trials_go_on_as_if_it_had_been_given_at_once() -> None:
    queue = make_queue(9)
    for number, live in enumerate(running(queue, 9)):
        reach(queue, live, 1, 0.9 - number / 100)
    simulate(queue)
    assert Counter(record.epochs for record in queue.finished) == {1: 6, 3: 2, 27: 1}
    queue = make_queue(27, records=records_of(queue))
    for number, live in enumerate(running(queue, 18)):
        reach(queue, live, 1, 0.5 - number / 100)
    simulate(queue)
    assert Counter(record.epochs for record in queue.finished) == {1: 18, 3: 6, 9: 2, 27: 1}


def test_a_queue_imports_neither_ray_nor_optuna() -> None:
    code = (
        "import sys, bloodtune.tuning.trial_queue, bloodtune.tuning.asha; print({'ray', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
