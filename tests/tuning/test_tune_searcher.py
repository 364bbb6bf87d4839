"""The searcher that Tune drives: its proposals, pauses and outcomes, and their records on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.records import COMPLETE, FAILED, PRUNED
from bloodtune.tuning.asha import PAUSE
from bloodtune.tuning.trial_queue import RETRIES
from run_fixtures import make_checkpoint, make_searcher, report
from searcher_fixtures import finish, propose_all, reach_rung, stored


def test_suggest_gives_the_enqueued_configurations_first_then_samples_up_to_the_budget(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path, budget=4)
    proposals = propose_all(searcher)
    assert [proposal["trial"] for proposal in proposals] == [0, 1, 2, 3]
    assert proposals[0]["configuration"].learning_rate == 0.01
    assert proposals[1]["configuration"].hidden_size == 32
    assert [record.label for record in searcher.run.trials()] == ["first", "second", "", ""]
    assert searcher.suggest("one more") == "FINISHED"


def test_suggest_puts_the_proposal_on_disk_before_its_trial_starts(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    assert [(p.trial, p.label) for p in searcher.run.proposals()] == [(0, "first")]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_suggest_repeats_itself_for_a_seed_and_not_for_another(tmp_path: Path, sampler: str) -> None:
    one, same, other = (
        propose_all(make_searcher(tmp_path / name, seed=seed, budget=8, sampler=sampler))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same
    assert one[:2] != other[:2], "the trials' own seeds differ"
    assert [p["configuration"] for p in one[2:]] != [p["configuration"] for p in other[2:]]


def test_an_enqueued_sampler_stops_after_its_configurations(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path, sampler="enqueued", budget=2)
    assert len(propose_all(searcher)) == 2


def test_startup_trials_are_counted_from_the_first_sampled_one(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    kinds = [type(searcher.sampler._sampler(number)).__name__ for number in range(6)]
    assert kinds == ["RandomSampler"] * 4 + ["_Tpe"] * 2, "two enqueued, two start-up trials, then TPE"


def test_a_trial_that_reached_the_last_epoch_is_complete_with_its_last_value(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_result("a", report([1, 2], 0.9))
    searcher.on_trial_complete("a", report([3], 0.8))
    (record,) = searcher.run.trials()
    assert (record.state, record.epochs, record.val_macro_f1) == (COMPLETE, 3, 0.8)
    assert (record.best_val_macro_f1, record.best_epoch) == (0.9, 1)
    assert record.train_seconds == 1.5
    (trial,) = stored(searcher)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.8)
    assert list(searcher.run.curves().epoch) == [1, 2, 3]
    assert searcher.run.read_json("best.json")["best_val_macro_f1"] == 0.9


def test_a_trial_that_asha_stopped_is_pruned_with_its_curve(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_complete("a", report([1], 0.3))
    assert searcher.run.trials()[0].state == PRUNED
    (trial,) = stored(searcher)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.3})
    assert trial.user_attrs["label"] == "first"


def test_a_failed_trial_keeps_its_message_and_its_epochs(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_complete("a", report([1], 0.3, failure="training loss is nan in epoch 2"))
    (record,) = searcher.run.trials()
    assert (record.state, record.epochs) == (FAILED, 1)
    assert record.message == "training loss is nan in epoch 2"
    assert stored(searcher)[0].state == TrialState.FAIL


def test_a_trial_whose_process_died_goes_on_from_its_checkpoint_before_another_begins(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    first = searcher.suggest("a")
    assert isinstance(first, dict)
    assert first["checkpoint"] is None
    searcher.on_trial_result("a", report([1], 0.4, checkpoint=make_checkpoint(1)))
    searcher.on_trial_result("a", report([2], 0.5))
    searcher.on_trial_complete("a", None, error=True)
    assert searcher.run.trials() == []
    assert searcher.suggest("b") == first | {"checkpoint": make_checkpoint(1), "turn": 1}
    searcher.on_trial_result("b", report([2], 0.5))
    searcher.on_trial_complete("b", report([3], 0.6))
    (record,) = searcher.run.trials()
    assert (record.trial, record.state, record.epochs, record.retries) == (0, COMPLETE, 3, 1)
    assert searcher.run.curves().epoch.tolist() == [1, 2, 3]
    assert [epoch.epoch for epoch in searcher.queue.repeated] == [2]
    assert searcher.run.checkpoint(0) is None


def test_a_trial_whose_processes_keep_dying_is_failed(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    for attempt in range(RETRIES + 1):
        proposal = searcher.suggest(f"a{attempt}")
        assert isinstance(proposal, dict)
        assert proposal["trial"] == 0
        searcher.on_trial_complete(f"a{attempt}", None, error=True)
    (record,) = searcher.run.trials()
    assert (record.state, record.val_macro_f1, record.retries) == (FAILED, None, RETRIES)
    assert record.message == "the worker process died, 4 times"
    assert searcher.suggest("b")["trial"] == 1  # type: ignore[index,call-overload]


def test_a_trial_that_hung_is_failed_at_once(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.queue.live[0].overdue = "an epoch took longer than --epoch-limit, 60 s"
    searcher.on_trial_complete("a", None, error=True)
    (record,) = searcher.run.trials()
    assert (record.state, record.message) == (FAILED, "an epoch took longer than --epoch-limit, 60 s")


def test_suggest_is_not_finished_while_a_process_may_die(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path, budget=2)
    for trial_id in "ab":
        searcher.suggest(trial_id)
    assert searcher.suggest("c") is None
    finish(searcher, "a")
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", None, error=True)
    assert searcher.suggest("c")["trial"] == 1  # type: ignore[index,call-overload]
    finish(searcher, "c")
    assert searcher.suggest("d") == "FINISHED"


def test_an_epoch_that_is_reported_twice_is_recorded_once(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_result("a", report([1, 2], 0.3))
    searcher.on_trial_complete("a", report([1, 2], 0.3))
    assert list(searcher.run.curves().epoch) == [1, 2]


def test_a_trial_that_pauses_has_a_checkpoint_and_no_row_and_goes_on_under_its_number(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    first = searcher.suggest("a")
    assert isinstance(first, dict)
    assert reach_rung(searcher, "a", 0.4) == PAUSE
    assert (list(searcher.queue.paused), searcher.run.trials()) == ([0], [])
    assert searcher.run.checkpoint(0) == Checkpoint(1, b"state", 10)
    for trial_id, score in (("b", 0.3), ("c", 0.2)):
        searcher.suggest(trial_id)
        reach_rung(searcher, trial_id, score)
    again = searcher.suggest("d")
    assert again == first | {"checkpoint": Checkpoint(1, b"state", 10), "turn": 3}
    searcher.on_trial_complete("d", report([2, 3], 0.5))
    (record,) = [record for record in searcher.run.trials() if record.trial == 0]
    assert (record.state, record.epochs, record.retries, record.train_seconds) == (COMPLETE, 3, 0, 1.5)
    assert searcher.run.checkpoint(0) is None
    assert [trial.intermediate_values for trial in stored(searcher) if trial.state == TrialState.COMPLETE] == [
        {1: 0.4, 2: 0.5, 3: 0.5}
    ]


def test_no_trial_is_handed_out_after_a_failure(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.failure = "cannot go on"
    assert searcher.suggest("a") == "FINISHED"
    assert searcher.run.proposals() == []


def test_a_worker_that_cannot_start_stops_the_search_and_fails_no_trial(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"done": True, "broken": "RuntimeError: no CUDA"})
    assert searcher.failure == "no worker can start: RuntimeError: no CUDA"
    assert searcher.run.trials() == []


@pytest.mark.parametrize("folder", ["a?b", "a%20b", "a b"])
def test_the_study_lies_in_the_run_whatever_its_folder_is_called(tmp_path: Path, folder: str) -> None:
    searcher = make_searcher(tmp_path / folder)
    assert (searcher.run.path / "study.journal").is_file()
