"""The runs of a folder as a list."""

from __future__ import annotations

import os
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bloodtune.files import latest_name
from bloodtune.run.directory import RunDirectory
from bloodtune.run.overview import RunOverview, list_runs, runs_table
from bloodtune.run.records import Proposal
from error_fixtures import refusal
from run_fixtures import make_epochs, make_record


def make_run(out: Path, name: str, trials: int, days: float) -> RunDirectory:
    run = RunDirectory.create(out, name, "", {"budget": 2, "data": {"title": "bloodmnist"}})
    for trial in range(trials):
        run.append_trial(make_record(trial))
    then = time.time() - days * 86400
    os.utime(run.path / "trials.csv", (then, then))
    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    make_run(tmp_path, "done", 2, 3)
    make_run(tmp_path, "half", 1, 1)
    make_run(tmp_path, "empty", 0, 0.1)
    (make_run(tmp_path, "broken", 1, 0).path / "provenance.json").write_text("{")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_runs_are_listed_with_their_state_the_newest_last(out: Path) -> None:
    runs = list_runs(out)
    assert [(run.name, run.state, run.finished, run.budget) for run in runs] == [
        ("done", "finished", 2, 2),
        ("half", "stopped", 1, 2),
        ("empty", "stopped", 0, 2),
        ("broken", "damaged", 0, None),
    ]
    assert runs[0].best == make_record(0).best_val_macro_f1 and runs[2].best is None
    assert runs[0].size == sum(file.stat().st_size for file in (out / "done").iterdir())
    assert latest_name(out) == "broken"
    assert runs[0].age == pytest.approx(3 * 86400, abs=60)


def test_a_run_that_a_search_has_is_running(out: Path) -> None:
    run = RunDirectory.open(out / "half")
    with run.lock():
        assert run.in_use()
        assert [one.state for one in list_runs(out)][1] == "running"
    assert not run.in_use()


def test_a_paused_trial_has_not_finished_and_may_be_the_best(out: Path) -> None:
    run = RunDirectory.open(out / "half")
    run.append_proposal(Proposal(7, "", make_record(7).configuration))
    run.append_epochs(7, make_epochs(3))
    half = list_runs(out)[1]
    assert (half.finished, half.unfinished, half.state) == (1, 1, "stopped")
    assert half.best == max(epoch.val_macro_f1 for epoch in make_epochs(3)) > (make_record(0).best_val_macro_f1 or 0)


def test_the_table_fits_80_columns_and_keeps_names_whole(out: Path) -> None:
    name = "20261123-025429-bloodmnist_rebuilt"
    wide = RunOverview(name, "finished", 43, 21, 64, 0.9716, "bloodmnist_rebuilt", 90000, 123_456_789)
    runs = [wide, *list_runs(out)[:2]]
    console = Console(file=StringIO(), width=80)
    console.print(runs_table(runs, name))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 80
    assert f"{name}*" in shown and "43+21/64" in shown and "0.9716" in shown and "25h" in shown and "123MB" in shown


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    assert refusal(lambda: list_runs(tmp_path)) == f"no run in {tmp_path}; give the folder of the runs with --out"
    assert "no folder" in refusal(lambda: list_runs(tmp_path / "none"))
