"""The recorder of a search: which files it writes, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from bloodtune.run.best_model import ModelFiles
from bloodtune.run.directory import BEST, STUDY, RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, PAUSED, PRUNED, Proposal, TrialRecord
from bloodtune.run.repair import RunRecords
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.recorder import RunRecorder, TrackerRecorder
from engine_fixtures import SGD, make_configuration
from run_fixtures import make_checkpoint, make_epochs, make_record, write_recipe
from study_fixtures import load_study

CONFIGURATION = make_configuration("cnn", **SGD, batch_size=16)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load_recipe(str(write_recipe(tmp_path)))


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "night", recipe.text)


def record_of(trial: int, score: float | None = 0.5, **changes: Any) -> TrialRecord:
    return make_record(trial, best_val_macro_f1=score, val_macro_f1=score, configuration=CONFIGURATION, **changes)


def stored(run: RunDirectory) -> list[tuple[int, TrialState, float | None]]:
    """Return number, state and value of the trials in the study file."""
    trials = load_study(run.path / STUDY, run.name).trials
    return [(trial.user_attrs["trial"], trial.state, trial.value) for trial in trials]


def test_proposals_and_epochs_are_appended(run: RunDirectory, recipe: Recipe) -> None:
    recorder, proposal, epochs = RunRecorder(run, recipe, RunRecords()), Proposal(4, "", CONFIGURATION), make_epochs(3)
    recorder.proposed(proposal)
    recorder.epochs(proposal, epochs[:2])
    recorder.epochs(proposal, epochs[2:])
    assert run.proposals() == [proposal]
    assert run.curves()[["trial", "epoch"]].to_numpy().tolist() == [[4, 1], [4, 2], [4, 3]]
    assert (run.trials(), stored(run), run.read_json(BEST)) == ([], [], {})


def test_a_finished_trial_is_in_the_table_and_in_the_study(run: RunDirectory, recipe: Recipe) -> None:
    recorder = RunRecorder(run, recipe, RunRecords())
    for record in (record_of(0, 0.6), record_of(1, 0.4, state=PRUNED), record_of(2, None, state=FAILED)):
        recorder.finished(record, make_epochs(1))
    assert [record.trial for record in run.trials()] == [0, 1, 2]
    assert stored(run) == [(0, TrialState.COMPLETE, 0.6), (1, TrialState.PRUNED, None), (2, TrialState.FAIL, None)]


def test_the_best_trial_is_written_with_its_model_and_before_its_row(run: RunDirectory, recipe: Recipe) -> None:
    recorder = RunRecorder(run, recipe, RunRecords())
    recorder.improved(record_of(0, state=PAUSED), ModelFiles({"weights": b"0"}))
    recorder.finished(record_of(1), make_epochs(1))
    assert (run.read_json(BEST)["trial"], run.read_json(BEST)["state"]) == (0, "PAUSED")
    assert [record.trial for record in run.trials()] == [1]
    recorder.improved(record_of(0), None)
    assert run.read_json(BEST)["state"] == COMPLETE
    assert (run.path / "model" / "weights").read_bytes() == b"0"


def test_a_finished_trial_loses_its_checkpoint_and_no_other(run: RunDirectory, recipe: Recipe) -> None:
    recorder = RunRecorder(run, recipe, RunRecords())
    for trial in (0, 1):
        run.write_checkpoint(trial, make_checkpoint(2))
    recorder.finished(record_of(0), make_epochs(3))
    assert run.checkpoint(0) is None
    assert run.checkpoint(1) == make_checkpoint(2)


@pytest.mark.parametrize("method", ["append_trial", "drop_checkpoints"])
def test_a_checkpoint_stays_until_its_trial_is_on_disk(
    run: RunDirectory, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    recorder = RunRecorder(run, recipe, RunRecords())
    run.write_checkpoint(0, make_checkpoint(2))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, method, full)
    with pytest.raises(OSError, match="No space left"):
        recorder.finished(record_of(0), make_epochs(3))
    assert run.checkpoint(0) == make_checkpoint(2)
    assert len(run.trials()) == len(stored(run)) == (method == "drop_checkpoints")


def test_a_resumed_search_starts_its_study_with_the_known_trials_by_number(run: RunDirectory, recipe: Recipe) -> None:
    records = RunRecords(
        trials=[record_of(2, 0.3), record_of(0, 0.7), record_of(1, 0.1, state=PRUNED, epochs=1)],
        epochs=[(0, epoch) for epoch in make_epochs(3)] + [(5, epoch) for epoch in make_epochs(1)],
    )
    RunRecorder(run, recipe, records)
    assert stored(run) == [(0, TrialState.COMPLETE, 0.7), (1, TrialState.PRUNED, None), (2, TrialState.COMPLETE, 0.3)]
    values = load_study(run.path / STUDY, run.name).trials[0].intermediate_values
    assert values == {epoch.epoch: epoch.val_macro_f1 for epoch in make_epochs(3)}


def test_a_damaged_study_is_told_by_the_recorder(run: RunDirectory, recipe: Recipe) -> None:
    assert RunRecorder(run, recipe, RunRecords()).note == ""
    file = run.path / STUDY
    file.write_bytes(b"no journal at all\n" * 10)
    note = RunRecorder(run, recipe, RunRecords(trials=[record_of(0)])).note
    assert note == f"{file} is damaged: rebuilt from the records; old file kept as {STUDY}.damaged"
    assert stored(run) == [(0, TrialState.COMPLETE, 0.5)]


class Listener:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def epochs(self, proposal: Any, epochs: Any) -> None:
        self.told.append((proposal.trial, [epoch.epoch for epoch in epochs]))

    def finished(self, record: Any) -> None:
        self.told.append(record.state)

    def close(self) -> None:
        self.told.append("closed")


def test_a_tracker_hears_of_epochs_and_outcomes_alone() -> None:
    listener = Listener()
    recorder, proposal = TrackerRecorder(listener), Proposal(3, "", CONFIGURATION)
    recorder.proposed(proposal)
    assert listener.told == []
    recorder.epochs(proposal, make_epochs(2))
    recorder.improved(record_of(3, state=PAUSED), None)
    recorder.finished(record_of(3), make_epochs(2))
    assert listener.told == [(3, [1, 2]), COMPLETE]
