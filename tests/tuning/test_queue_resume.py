"""A queue that goes on from the records of an interrupted search."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, Proposal, make_record
from bloodtune.run.repair import RunRecords
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.trial_queue import TrialQueue
from queue_fixtures import RECIPE, Notes, curve_of, make_queue, reach, records_of, running, search, simulate


def test_a_resumed_search_tells_its_best_trial_unless_none_has_a_score() -> None:
    rows = [entry.configuration for entry in RECIPE.enqueued]
    proposals = [Proposal(number, "", rows[number]) for number in range(2)]
    failed, other = (make_record(proposal, curve_of(rows[0])[:1], FAILED) for proposal in proposals)
    notes = Notes()
    make_queue(9, recorders=[notes], records=RunRecords([failed], [], proposals))
    assert notes.told == []
    make_queue(9, recorders=[notes], records=RunRecords([failed, dataclasses.replace(other, state=PRUNED)]))
    assert [told[:2] for told in notes.told] == [(1, "PRUNED")]


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
