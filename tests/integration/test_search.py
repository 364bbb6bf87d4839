"""A search from its command line to its run directory, on a Ray of its own, and the summary of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from bloodtune import search
from bloodtune.run import CURVE_COLUMNS, TRIAL_COLUMNS, RunDirectory
from run_fixtures import write_data, write_recipe

ROOT = Path(__file__).resolve().parents[2]
CLOCKS = ["train_seconds", "started"]


SEARCH = ("-m", "bloodtune.search")
SUMMARIZE = (str(ROOT / "analysis" / "summarize.py"),)


def start(folder: Path, arguments: str, program: tuple[str, ...] = SEARCH) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *arguments.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_command(folder: Path, arguments: str, program: tuple[str, ...] = SEARCH) -> tuple[int, str, str]:
    process = start(folder, arguments, program)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_data(folder)
    write_data(folder, seed=1)
    write_recipe(folder)
    write_recipe(folder, sampler="random")
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> tuple[RunDirectory, str]:
    code, out, err = run_command(
        folder, "--recipe tpe.toml --data tiny0.npz --budget 8 --workers 1 --seed 3 --name one"
    )
    assert code == 0, err
    assert out == ""
    return RunDirectory.open(folder / "runs" / "one"), err


def test_a_search_fills_its_run_directory(finished: tuple[RunDirectory, str]) -> None:
    run, _ = finished
    trials, curves = pd.read_csv(run.path / "trials.csv"), run.curves()
    assert tuple(trials.columns) == TRIAL_COLUMNS
    assert tuple(curves.columns) == CURVE_COLUMNS
    assert sorted(trials.trial) == list(range(8))
    assert set(trials.state) <= {"COMPLETE", "PRUNED"}
    assert (trials.epochs == curves.groupby("trial").size().reindex(trials.trial).to_numpy()).all()
    assert (trials[trials.state == "COMPLETE"].epochs == 3).all()
    assert (trials[trials.state == "PRUNED"].epochs == 1).all(), "the one rung is at epoch 1"
    assert (trials.state == "PRUNED").any()
    assert trials.best_val_macro_f1.max() > 0.9, "three classes of colour are easy"
    provenance = run.read_json("provenance.json")
    assert provenance["budget"] == 8
    assert provenance["seed"] == 3
    assert provenance["data"]["split_sizes"] == {"train": 96, "val": 36, "test": 36}
    assert provenance["epochs_spent"] == len(curves)
    assert provenance["ended"] >= provenance["started"]
    assert os.readlink(run.path.parent / "latest") == "one"


def test_the_study_opens_in_optuna_and_nothing_in_it_runs(finished: tuple[RunDirectory, str]) -> None:
    run, _ = finished
    study = optuna.load_study(study_name="one", storage=f"sqlite:///{run.path / 'study.db'}")
    states = [trial.state for trial in study.trials]
    assert len(states) == 8
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    pruned = next(trial for trial in study.trials if trial.state == TrialState.PRUNED)
    assert list(pruned.intermediate_values) == [1]


def test_a_healthy_run_says_only_what_concerns_the_user(folder: Path, finished: tuple[RunDirectory, str]) -> None:
    _, err = finished
    lines = err.splitlines()
    assert lines[0] == "run runs/one: tiny0, budget 8, 1 workers"
    assert lines[-2] == "run directory: runs/one"
    command = lines[-1].removeprefix("next: ").split()
    python = shutil.which("python") or "" if command[0] == "python" else folder / command[0]
    assert os.path.abspath(python) == sys.executable
    assert (folder / command[1]).resolve() == ROOT / "analysis" / "summarize.py"
    assert command[2:] == ["runs/one"]
    assert "8/8 trials in" in lines[-4]
    assert lines[-3].startswith("best validation macro-F1 ")
    progress = lines[1:-4]
    assert progress
    assert all(line.split(" ")[0].endswith("/8") and "images/s" in line for line in progress), err


def test_one_worker_and_one_seed_give_the_same_search_twice(folder: Path, finished: tuple[RunDirectory, str]) -> None:
    code, _, err = run_command(folder, "--recipe tpe.toml --data tiny0.npz --budget 8 --workers 1 --seed 3 --name two")
    assert code == 0, err
    one, two = (pd.read_csv(folder / "runs" / name / "trials.csv").drop(columns=CLOCKS) for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


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


def test_a_trial_that_diverges_is_failed_and_costs_no_more_epochs(folder: Path) -> None:
    write_recipe(folder, sampler="enqueued", first_rate=100.0)
    code, _, err = run_command(folder, "--recipe enqueued.toml --data tiny0.npz --budget 2 --workers 1 --name diverged")
    assert code == 0, err
    trials = pd.read_csv(folder / "runs" / "diverged" / "trials.csv").set_index("label")
    assert trials.state["first"] == "FAILED"
    assert re.fullmatch(r"(training|validation) loss is (nan|inf) in epoch 1", trials.message["first"])
    assert trials.epochs["first"] == 0
    assert trials.state["second"] == "COMPLETE"


def test_the_summary_writes_the_paper_and_a_second_call_only_redraws(
    folder: Path, finished: tuple[RunDirectory, str]
) -> None:
    command = "runs/one --quick --epochs 1 --workers 1"
    code, _, err = run_command(folder, command, SUMMARIZE)
    assert code == 0, err
    results = folder / "results" / "one-quick"
    for name in ("report.md", "choices.json", "tables/table3_f1.tex", "figures/best_so_far.pdf"):
        assert (results / name).stat().st_size > 0
    for place in ("best", "mlnn", "cnn", "lightweight"):
        assert (results / "models" / place / "model.safetensors").exists()
    assert os.readlink(folder / "results" / "latest") == "one-quick"
    scores = json.loads((results / "choices.json").read_text())["mean_val_macro_f1"]
    assert scores["MLNN config 1"] == scores["MLNN config 3"], "one function, trained once"
    assert scores["MLNN config 1"] != scores["MLNN config 2"]
    first = (results / "report.md").read_bytes()
    code, _, err = run_command(folder, command, SUMMARIZE)
    assert code == 0, err
    assert "retraining, found: 0/0" in err
    assert "retraining, published and longest: 0/0" in err
    assert "test split: 0/0" in err
    assert (results / "report.md").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--recipe nothing.toml", "no recipe 'nothing.toml': give a path, or one of cnn, default, "),
        ("--resume nothing", "no run at runs/nothing; runs there: "),
        ("--data absent.npz", "absent.npz"),
        ("--out tiny0.npz/runs --data tiny0.npz", "tiny0.npz/runs cannot be written: "),
        ("--resume one --data tiny1.npz", "the run belongs to other data: "),
        ("--resume one --recipe tpe.toml", "--recipe cannot be given with --resume: the run keeps its own"),
        ("--resume one --max-epochs 9", "--max-epochs cannot be given with --resume"),
        ("--resume one --seed 4", "--seed 4: run one has seed 3 and keeps it"),
        ("--resume one --budget 4", "--budget 4: the run has 8 finished trials already"),
        ("--resume ''", "no run at runs/''"),
        ("--data tiny0.npz --address ray://localhost:10001", "Ray's client protocol cannot be used"),
        ("--data tiny0.npz --address nonsense", "no Ray cluster answers at nonsense"),
        ("--data tiny0.npz --name up/down", "run name 'up/down': allowed are letters, digits"),
        ("--data tiny0.npz --name latest", "run name 'latest': "),
        ("--data tiny0.npz --name one --recipe tpe.toml", "run runs/one exists; choose another --name or --resume one"),
        ("--data tiny0.npz --gpus-per-trial 1", "--gpus-per-trial 1: this machine has 0 GPUs; leave it out, or use 0"),
    ],
)
@pytest.mark.usefixtures("finished")
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Path,
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert search.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("bloodtune: ")
    assert message in err
    assert sorted(folder.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--bugdet 3", "unrecognized arguments: --bugdet 3"),
        ("--bud 3", "unrecognized arguments: --bud 3"),
        ("--seed -1", "'-1': allowed are whole numbers from 0"),
        ("--gpus-per-trial inf", "'inf': allowed are 0 to 1, or whole numbers above"),
        ("--time-budget soon", "'soon': give a time such as 90s, 30m or 2h"),
        ("--workers 0", "'0': allowed are whole numbers from 1"),
        ("--gpus-per-trial -1", "'-1': allowed are 0 to 1, or whole numbers above"),
        ("--budget 0", "'0': allowed are whole numbers from 1"),
        ("--budget -3", "'-3': allowed are whole numbers from 1"),
        ("--budget many", "'many': allowed are whole numbers from 1"),
    ],
)
def test_a_flag_that_cannot_be_read_is_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        search.main(arguments.split())
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_run_that_is_searched_by_another_process_is_refused(
    folder: Path,
    finished: tuple[RunDirectory, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with finished[0].lock():
        code, _, err = run_command(folder, "--resume one --budget 9")
    assert code == 2
    assert err == "bloodtune: run one is in use by another search\n"


def test_a_data_file_may_have_any_name(folder: Path) -> None:
    shutil.copyfile(folder / "tiny0.npz", folder / "my cells (1).npz")
    command = [sys.executable, "-m", "bloodtune.search", "--recipe", "random.toml", "--budget", "1"]
    done = subprocess.run([*command, "--data", "my cells (1).npz"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert RunDirectory.open(folder / "runs" / "latest").name.endswith("-my-cells-1-")


def test_a_resumed_run_knows_where_its_data_moved(folder: Path, finished: tuple[RunDirectory, str]) -> None:
    moved = folder / "moved.npz"
    shutil.copyfile(folder / "tiny0.npz", moved)
    code, _, err = run_command(folder, "--resume one --budget 9 --data moved.npz")
    assert code == 0, err
    assert finished[0].read_json("provenance.json")["data"]["source"] == str(moved)


def test_dry_run_prints_the_plan_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_command(folder, "--data tiny0.npz --recipe tpe.toml --dry-run --out elsewhere")
    assert (code, err) == (0, "")
    assert "at most 3 epochs, rungs at 1" in out
    assert re.search(r"^  learning_rate +0.0001 to 0.02, log$", out, re.MULTILINE)
    assert not (folder / "elsewhere").exists()
