"""The searcher that Tune drives: what it proposes, what it puts on disk, and how it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, PRUNED
from bloodtune.tuning.asha import CONTINUE, PAUSE
from bloodtune.tuning.sampler import draw_seed
from bloodtune.tuning.trial_queue import RETRIES
from run_fixtures import DrivenSearcher, make_checkpoint, make_searcher, reopen, report
from study_fixtures import load_study


def finish(searcher: DrivenSearcher, trial_id: str, score: float = 0.5) -> None:
    searcher.on_trial_complete(trial_id, report([1, 2, 3], score))


def stored(searcher: DrivenSearcher) -> list[optuna.trial.FrozenTrial]:
    return load_study(searcher.run.path / "study.journal", searcher.run.name).trials


def propose_all(searcher: DrivenSearcher) -> list[dict[str, Any]]:
    proposals = []
    while isinstance(proposal := searcher.suggest(f"t{len(proposals)}"), dict):
        proposals.append(proposal)
        finish(searcher, f"t{len(proposals) - 1}", 0.1 * len(proposals))
    return proposals


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


def test_resume_runs_an_interrupted_trial_again_under_its_number_and_repeats_nothing(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    for trial_id in "abc":
        searcher.suggest(trial_id)
    interrupted = searcher.queue.live[2].proposal
    finish(searcher, "b")
    searcher.on_trial_result("c", report([1], 0.4))
    resumed = reopen(searcher)
    proposals = propose_all(resumed)
    assert [proposal["trial"] for proposal in proposals] == [0, 2, 3, 4, 5]
    assert proposals[1]["configuration"] == interrupted.configuration
    records = resumed.run.trials()
    assert sorted(record.trial for record in records) == list(range(6))
    assert [record.label for record in records].count("second") == 1
    assert len(resumed.run.proposals()) == 6
    curves = resumed.run.curves()
    assert not curves.duplicated(["trial", "epoch"]).any()
    states = [trial.state for trial in stored(resumed)]
    assert states == [TrialState.COMPLETE] * 6


def test_resume_goes_on_as_an_uninterrupted_search_would(tmp_path: Path) -> None:
    whole = propose_all(make_searcher(tmp_path / "whole", budget=8))
    first = make_searcher(tmp_path / "halves", budget=8)
    for number in range(5):
        first.suggest(f"t{number}")
        finish(first, f"t{number}", 0.1 * (number + 1))
    rest = []
    second = reopen(first, budget=8)
    for number in range(5, 8):
        rest.append(second.suggest(f"t{number}"))
        finish(second, f"t{number}", 0.1 * (number + 1))
    assert [p | {"turn": 0} for p in rest] == [p | {"turn": 0} for p in whole[5:]]


def test_resume_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_result("a", report([1, 2], 0.4, checkpoint=make_checkpoint(2)))
    resumed = reopen(searcher)
    assert resumed.queue.halving.needed() == {}
    proposal = resumed.suggest("a")
    assert isinstance(proposal, dict)
    assert (proposal["trial"], proposal["checkpoint"]) == (0, make_checkpoint(2))
    resumed.on_trial_complete("a", report([3], 0.6))
    (record,) = resumed.run.trials()
    assert (record.epochs, record.best_epoch, record.train_seconds) == (3, 3, 1.5)
    assert stored(resumed)[0].intermediate_values == {1: 0.4, 2: 0.4, 3: 0.6}


def test_resume_restores_a_lost_study_from_the_records(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    propose_all(searcher)
    before = [trial.params for trial in stored(searcher)]
    (searcher.run.path / "study.journal").unlink()
    resumed = reopen(searcher)
    assert [trial.params for trial in stored(resumed)] == before


def reach_rung(searcher: DrivenSearcher, trial_id: str, score: float, model: ModelFiles | None = None) -> str:
    """Report a trial at the rung, and do as Tune does with the queue's decision."""
    number = searcher._numbers[trial_id]
    verdict = searcher.queue.decide(number, 1, score)
    at_rung = report([1], score, checkpoint=Checkpoint(1, b"state", 10), model=model)
    if verdict == CONTINUE:
        searcher.on_trial_result(trial_id, at_rung)
    else:
        searcher.on_trial_complete(trial_id, at_rung)
    return verdict


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


def test_paused_trials_are_found_again_after_the_driver_has_died(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    for trial_id, score in (("a", 0.4), ("b", 0.3)):
        searcher.suggest(trial_id)
        reach_rung(searcher, trial_id, score)
    resumed = reopen(searcher)
    assert sorted(resumed.queue.paused) == [0, 1]
    assert (resumed.queue.best() or searcher).trial == 0  # type: ignore[union-attr]
    assert resumed.suggest("c")["trial"] == 2  # type: ignore[index,call-overload]
    reach_rung(resumed, "c", 0.2)
    again = resumed.suggest("d")
    assert isinstance(again, dict)
    assert (again["trial"], again["checkpoint"]) == (0, Checkpoint(1, b"state", 10))
    resumed.on_trial_complete("d", None, error=True)
    again = resumed.suggest("e")
    assert isinstance(again, dict)
    assert (again["trial"], again["checkpoint"].epoch) == (0, 1), "from the rung, not from nothing"
    resumed.on_trial_complete("e", report([2, 3], 0.5))
    for turn in range(3):
        resumed.suggest(f"f{turn}")
        reach_rung(resumed, f"f{turn}", 0.1)
    assert resumed.suggest("g")["trial"] == 1  # type: ignore[index,call-overload]
    resumed.on_trial_complete("g", report([2, 3], 0.6))
    assert resumed.suggest("h") == "FINISHED"
    records = {record.trial: record for record in resumed.run.trials()}
    assert sorted(records) == list(range(6))
    assert (records[0].retries, records[2].state, records[2].parameters) == (1, PRUNED, 10)
    assert records[2].message == "epoch 1: 0.2000 is number 3 of 6, at most 2 go on"
    assert not resumed.run.curves().duplicated(["trial", "epoch"]).any()
    assert not list((resumed.run.path / "checkpoints").iterdir())


def test_a_paused_trial_with_a_damaged_checkpoint_trains_again_from_its_first_epoch(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    reach_rung(searcher, "a", 0.4)
    (file,) = (searcher.run.path / "checkpoints").iterdir()
    assert file.name == "0-1-10.checkpoint"
    file.write_bytes(file.read_bytes()[:-1])
    resumed = reopen(searcher)
    assert (list(resumed.queue.paused), len(resumed.run.curves())) == ([], 0)
    again = resumed.suggest("b")
    assert isinstance(again, dict)
    assert (again["trial"], again["checkpoint"]) == (0, None)


@contextlib.contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, method: str) -> Iterator[None]:
    """Let a method of run directories fail, as on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, method, full)
        yield


def test_a_driver_that_dies_before_the_checkpoint_of_a_pause_trains_that_epoch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    with full_disk(monkeypatch, "write_checkpoint"):
        reach_rung(searcher, "a", 0.4)
    assert searcher.failure == "cannot go on: OSError: [Errno 28] No space left on device"
    resumed = reopen(searcher)
    assert (list(resumed.queue.paused), len(resumed.run.curves())) == ([], 0)
    assert resumed.suggest("a")["trial"] == 0  # type: ignore[index,call-overload]


def test_the_model_on_disk_may_be_that_of_a_paused_trial(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    file = searcher.run.path / "model" / "weights"
    for trial_id, score in (("a", 0.5), ("b", 0.4)):
        searcher.suggest(trial_id)
        assert reach_rung(searcher, trial_id, score, ModelFiles({"weights": trial_id.encode()})) == PAUSE
    assert file.read_bytes() == b"a"
    assert searcher.run.read_json("best.json")["state"] == "PAUSED"
    searcher.suggest("c")
    searcher.on_trial_complete("c", report([1, 2, 3], 0.1))
    resumed = reopen(searcher)
    assert resumed.run.read_json("best.json")["trial"] == 0, "and not the best that has ended"
    proposal = resumed.suggest("d")
    assert isinstance(proposal, dict)
    assert (proposal["trial"], proposal["to_beat"]) == (3, 0.5)


def test_no_trial_is_handed_out_after_a_failure(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.failure = "cannot go on"
    assert searcher.suggest("a") == "FINISHED"
    assert searcher.run.proposals() == []


def test_draw_seed_differs_by_trial_and_by_seed() -> None:
    drawn = {draw_seed(seed, number) for seed in range(20) for number in range(50)}
    assert len(drawn) == 1000
    assert draw_seed(3, 4) == draw_seed(3, 4)


def test_a_record_that_cannot_be_written_stops_the_search_and_leaves_the_trial_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    with full_disk(monkeypatch, "append_trial"):
        finish(searcher, "a")
    assert searcher.failure == "cannot go on: OSError: [Errno 28] No space left on device"
    assert searcher.suggest("b") == "FINISHED"
    again = reopen(searcher).suggest("a")
    assert isinstance(again, dict)
    assert again["trial"] == 0


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


def test_the_model_on_disk_is_that_of_the_best_trial(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    proposals = [searcher.suggest(trial_id) for trial_id in "abc"]
    assert [proposal["to_beat"] for proposal in proposals if isinstance(proposal, dict)] == [0.0] * 3
    file = searcher.run.path / "model" / "weights"
    searcher.on_trial_result("a", report([1], 0.5, model=ModelFiles({"weights": b"a 1"})))
    assert not file.exists(), "a trial that goes on is not the best yet"
    searcher.on_trial_complete("a", report([2, 3], 0.6, model=ModelFiles({"weights": b"a 3"})))
    assert file.read_bytes() == b"a 3"
    searcher.on_trial_complete("b", report([1], 0.4, model=ModelFiles({"weights": b"b 1"})))
    searcher.on_trial_complete("c", report([1], 0.9, failure="loss is nan", model=ModelFiles({"weights": b"c 1"})))
    assert file.read_bytes() == b"a 3", "neither a worse trial nor a failed one"
    resumed = reopen(searcher)
    proposal = resumed.suggest("d")
    assert isinstance(proposal, dict)
    assert (proposal["to_beat"], file.read_bytes()) == (0.6, b"a 3")
    resumed.on_trial_complete("d", report([1], 0.7, model=ModelFiles({"weights": b"d 1"})))
    assert file.read_bytes() == b"d 1"


def test_a_retried_trial_has_nothing_to_beat_where_it_was_ahead_before(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("b", report([1], 0.8))
    finish(searcher, "a", 0.5)
    searcher.on_trial_complete("b", None, error=True)
    proposal = searcher.suggest("c")
    assert isinstance(proposal, dict)
    assert (proposal["trial"], proposal["to_beat"]) == (1, 0.0)
