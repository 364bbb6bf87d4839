"""A search that is stopped, by Ctrl-C or by its time budget, and goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import optuna
import pandas as pd

from command_fixtures import run_command, start


def test_ctrl_c_keeps_everything_and_resume_finishes_without_repeating(folder: Path) -> None:
    process = start(folder, "--recipe random.toml --data tiny0.npz --budget 40 --workers 1 --name stopped")
    trials = folder / "runs" / "stopped" / "trials.csv"
    deadline = time.monotonic() + 120
    while not (trials.exists() and len(trials.read_text().splitlines()) > 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines()[-1].endswith("python -m bloodtune.search --resume stopped --workers 1")
    before = pd.read_csv(trials)
    assert 3 < len(before) < 40
    code, _, err = run_command(folder, "--resume stopped --budget 42 --workers 1")
    assert code == 0, err
    after = pd.read_csv(trials)
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    assert sorted(after.trial) == list(range(42)), "the rest, and the two that the larger budget adds"
    assert list(after.label.dropna()).count("first") == 1
    study = optuna.load_study(study_name="stopped", storage=f"sqlite:///{trials.with_name('study.db')}")
    assert len(study.trials) == 42
    assert all(trial.state.is_finished() for trial in study.trials)


def test_a_time_budget_ends_the_search_and_leaves_nothing_running(folder: Path) -> None:
    code, _, err = run_command(
        folder, "--recipe random.toml --data tiny0.npz --budget 5000 --time-budget 20s --name timed"
    )
    assert code == 0, err
    assert "time budget used up; interrupted trials run again on resume" in err
    study = optuna.load_study(study_name="timed", storage=f"sqlite:///{folder / 'runs/timed/study.db'}")
    trials = pd.read_csv(folder / "runs" / "timed" / "trials.csv")
    assert len(study.trials) == len(trials) > 0
    assert all(trial.state.is_finished() for trial in study.trials)
