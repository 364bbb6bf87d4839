"""The model that a searcher keeps: that of the best trial that has paused or ended."""

from __future__ import annotations

from pathlib import Path

from bloodtune.run.best_model import ModelFiles
from bloodtune.tuning.asha import PAUSE
from run_fixtures import make_searcher, reopen, report
from searcher_fixtures import finish, reach_rung


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
