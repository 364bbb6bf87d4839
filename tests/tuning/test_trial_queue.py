"""The queue of trials: its order, pauses, the end of paused trials, and the best trial."""

from __future__ import annotations

import pytest

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord
from bloodtune.tuning.asha import PAUSE
from queue_fixtures import RECIPE, Notes, curve_of, make_queue, reach, records_of, running, simulate


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
