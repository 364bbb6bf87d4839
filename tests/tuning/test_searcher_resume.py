"""A searcher that resumes a run: interrupted and paused trials, checkpoints, and a lost study."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.records import PRUNED
from run_fixtures import make_checkpoint, make_searcher, reopen, report
from searcher_fixtures import finish, full_disk, propose_all, reach_rung, stored


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
