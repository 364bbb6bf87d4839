"""A search that is stopped by Ctrl-C, goes on, and is stopped by its time budget."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pandas as pd

from bloodtune.run.directory import RunDirectory
from command_fixtures import run_command, start
from study_fixtures import load_study


def test_what_ctrl_c_or_the_time_budget_ends_is_whole_and_goes_on(folder: Path) -> None:
    process = start(folder, "--recipe random.toml --data tiny0.npz --budget 40 --workers 1 --name stopped")
    trials = folder / "runs" / "stopped" / "trials.csv"
    deadline = time.monotonic() + 120
    while not (trials.exists() and len(trials.read_text().splitlines()) > 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines()[-1].endswith("python -m bloodtune.search --resume stopped --workers 1")
    before = trials.read_text()
    assert 3 < before.count("\n") - 1 < 40
    code, _, err = run_command(folder, "--resume stopped --budget 5000 --workers 1 --time-budget 12s")
    assert code == 0, err
    assert "time budget used up; paused and interrupted trials go on with --resume" in err
    after = pd.read_csv(trials)
    assert len(after) < 5000
    assert trials.read_text().startswith(before)
    standing = RunDirectory.open(trials.parent).standing()
    numbers = sorted(record.trial for record in standing)
    assert numbers == list(range(len(numbers))), "each once, the paused ones and the interrupted one too"
    assert [record.label for record in standing].count("first") == 1
    assert len(numbers) > len(after), "trials are paused when the time is used up"
    study = load_study(trials.with_name("study.journal"), "stopped")
    assert len(study.trials) == len(after)
    assert all(trial.state.is_finished() for trial in study.trials)
