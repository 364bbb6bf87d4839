"""``study.journal``: what goes in comes out through Optuna."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from bloodtune.run.study_db import StudyFile
from study_fixtures import load_study

DISTRIBUTIONS = {
    "rate": FloatDistribution(0.001, 0.1, log=True),
    "momentum": FloatDistribution(0.8, 0.9, step=0.05),
    "layers": IntDistribution(1, 3),
    "ema": CategoricalDistribution([False, "x", 0.5]),
}
PARAMETERS = {"rate": 0.01, "momentum": 0.85, "layers": 2, "ema": "x"}


def make_trial(number: int, state: TrialState) -> FrozenTrial:
    return create_trial(
        state=state,
        value=0.75 if state is TrialState.COMPLETE else None,
        params=PARAMETERS,
        distributions=DISTRIBUTIONS,
        intermediate_values={1: 0.5, 3: 0.6} if state is not TrialState.FAIL else {},
        user_attrs={"trial": number, "label": 'a "name"', "message": ""},
    )


def load(file: Path, name: str) -> list[FrozenTrial]:
    return load_study(file, name).trials


def test_a_trial_comes_out_as_optuna_itself_stores_it(tmp_path: Path) -> None:
    theirs = optuna.create_study(study_name="a run", direction="maximize")
    file = StudyFile(tmp_path / "study.journal", "a run")
    for number, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)):
        trial = make_trial(number, state)
        theirs.add_trial(trial)
        file.add(trial)
    ours = load_study(tmp_path / "study.journal", "a run")
    assert ours.best_value == 0.75
    for mine, other in zip(ours.trials, theirs.trials, strict=True):
        assert mine.params == other.params
        assert mine.distributions == other.distributions
        assert (mine.state, mine.value, mine.user_attrs) == (other.state, other.value, other.user_attrs)
        assert mine.intermediate_values == other.intermediate_values


def test_the_sqlite_file_of_an_earlier_version_goes(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"SQLite format 3")
    StudyFile(tmp_path / "study.journal", "a run", [make_trial(0, TrialState.COMPLETE)])
    assert not (tmp_path / "study.db").exists()
    assert len(load(tmp_path / "study.journal", "a run")) == 1


def test_opened_again_it_knows_its_trials_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "study.journal"
    trials = [make_trial(number, TrialState.PRUNED) for number in (4, 2, 3)]
    StudyFile(file, "a run").add(trials[0])
    inode = file.stat().st_ino
    StudyFile(file, "a run", trials[:2]).add(trials[2])
    assert [trial.number for trial in load(file, "a run")] == [0, 1, 2]
    assert [trial.user_attrs["trial"] for trial in load(file, "a run")] == [4, 2, 3]
    assert file.stat().st_ino == inode


def test_a_file_with_a_trial_that_the_records_lack_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "study.journal"
    for number in (0, 1):
        StudyFile(file, "a run", [make_trial(n, TrialState.PRUNED) for n in range(number)]).add(
            make_trial(number, TrialState.PRUNED)
        )
    again = StudyFile(file, "a run", [make_trial(1, TrialState.FAIL)])
    assert again.note == ""
    assert [(trial.user_attrs["trial"], trial.state) for trial in load(file, "a run")] == [(1, TrialState.FAIL)]


@pytest.mark.parametrize("damage", ["garbled", "cut off", "not a journal", "another study"])
def test_a_damaged_file_is_kept_and_rebuilt(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "study.journal"
    trial = make_trial(0, TrialState.COMPLETE)
    StudyFile(file, "other" if damage == "another study" else "a run").add(trial)
    whole = file.read_bytes()
    if damage == "garbled":
        file.write_bytes(whole[:50] + bytes(range(256)) + whole[60:])
    elif damage == "cut off":
        file.write_bytes(whole[:-20])
    elif damage == "not a journal":
        file.write_bytes(b"no journal at all\n" * 100)
    again = StudyFile(file, "a run", [trial])
    assert [found.value for found in load(file, "a run")] == [0.75]
    if damage not in ("another study", "cut off"):
        assert again.note == f"{file} is damaged: rebuilt from the records; old file kept as study.journal.damaged"
        assert (tmp_path / "study.journal.damaged").is_file()
    again.add(make_trial(1, TrialState.PRUNED))
    assert len(load(file, "a run")) == 2


def test_a_trial_that_cannot_be_stored_whole_is_not_stored(tmp_path: Path) -> None:
    file = StudyFile(tmp_path / "study.journal", "a run")
    broken = make_trial(0, TrialState.PRUNED)
    broken.set_user_attr("label", {1, 2})
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        file.add(broken)
    assert load(tmp_path / "study.journal", "a run") == []


def test_trials_are_written_where_a_sync_is_not_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    StudyFile(tmp_path / "study.journal", "a run").add(make_trial(0, TrialState.COMPLETE))
    assert len(load(tmp_path / "study.journal", "a run")) == 1
