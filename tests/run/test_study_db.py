"""``study.db``: what goes in comes out through Optuna."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from bloodtune.run.study_db import StudyFile

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
    return optuna.load_study(study_name=name, storage=f"sqlite:///{file}").trials


@pytest.fixture(params=["UTC", "Europe/Berlin"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_time_zone")
def test_a_trial_comes_out_as_optuna_itself_would_have_stored_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    study = optuna.create_study(storage=f"sqlite:///{theirs}", study_name="a run", direction="maximize")
    file = StudyFile(ours, "a run")
    for number, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)):
        trial = make_trial(number, state)
        study.add_trial(trial)
        file.add(trial)
    assert load(ours, "a run") == load(theirs, "a run")
    assert optuna.load_study(study_name="a run", storage=f"sqlite:///{ours}").best_value == 0.75


def test_opened_again_it_knows_its_trials_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    trials = [make_trial(number, TrialState.PRUNED) for number in (4, 2, 3)]
    StudyFile(file, "a run").add(trials[0])
    inode = file.stat().st_ino
    StudyFile(file, "a run", trials[:2]).add(trials[2])
    assert [trial.number for trial in load(file, "a run")] == [0, 1, 2]
    assert [trial.user_attrs["trial"] for trial in load(file, "a run")] == [4, 2, 3]
    assert file.stat().st_ino == inode


def test_a_file_with_a_trial_that_the_records_lack_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    for number in (0, 1):
        StudyFile(file, "a run", [make_trial(n, TrialState.PRUNED) for n in range(number)]).add(
            make_trial(number, TrialState.PRUNED)
        )
    again = StudyFile(file, "a run", [make_trial(1, TrialState.FAIL)])
    assert again.note == ""
    assert [(trial.user_attrs["trial"], trial.state) for trial in load(file, "a run")] == [(1, TrialState.FAIL)]


@pytest.mark.parametrize("damage", ["garbled", "cut off", "empty of tables", "another study", "a row garbled"])
def test_a_damaged_file_is_put_aside_and_made_anew(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "study.db"
    trial = make_trial(0, TrialState.COMPLETE)
    StudyFile(file, "a run").add(trial)
    whole = file.read_bytes()
    if damage == "garbled":
        file.write_bytes(whole[:3000] + bytes(range(256)) * 40 + whole[13240:])
    elif damage == "cut off":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty of tables":
        file.write_bytes(b"not a database at all, but long enough to look like one" * 100)
    elif damage == "another study":
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE studies SET study_name = 'other'")
    else:
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE trial_params SET distribution_json = '{'")
    again = StudyFile(file, "a run", [trial])
    assert [found.value for found in load(file, "a run")] == [0.75]
    if damage != "another study":
        assert again.note == f"{file} is damaged: made anew from the records, and kept as study.db.damaged"
        assert (tmp_path / "study.db.damaged").is_file()
    again.add(make_trial(1, TrialState.PRUNED))
    assert len(load(file, "a run")) == 2


def test_a_trial_that_cannot_be_stored_whole_is_not_stored(tmp_path: Path) -> None:
    file = StudyFile(tmp_path / "study.db", "a run")
    broken = make_trial(0, TrialState.PRUNED)
    broken.set_user_attr("label", {1, 2})
    with pytest.raises(TypeError):
        file.add(broken)
    assert load(tmp_path / "study.db", "a run") == []
