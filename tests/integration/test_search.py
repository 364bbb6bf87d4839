"""A search from its command line to its run directory, on a Ray of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import CURVE_COLUMNS, TRIAL_COLUMNS, best_records
from command_fixtures import ROOT, run_command
from run_fixtures import write_recipe
from study_fixtures import load_study

CLOCKS = ["train_seconds", "started"]


def test_a_search_fills_its_run_directory(finished: RunDirectory) -> None:
    trials, curves = pd.read_csv(finished.path / "trials.csv"), finished.curves()
    assert tuple(trials.columns) == TRIAL_COLUMNS
    assert tuple(curves.columns) == CURVE_COLUMNS
    assert sorted(trials.trial) == list(range(8))
    assert set(trials.state) <= {"COMPLETE", "PRUNED"}
    assert (trials.epochs == curves.groupby("trial").size().reindex(trials.trial).to_numpy()).all()
    assert (trials[trials.state == "COMPLETE"].epochs == 3).all()
    assert (trials[trials.state == "PRUNED"].epochs == 1).all(), "the one rung is at epoch 1"
    assert (trials.state == "PRUNED").any()
    assert trials.best_val_macro_f1.max() > 0.9, "three classes of colour are easy"
    provenance = finished.read_json("provenance.json")
    assert provenance["budget"] == 8
    assert provenance["seed"] == 3
    assert provenance["data"]["split_sizes"] == {"train": 96, "val": 36, "test": 36}
    assert provenance["precision"] in ("float32", "bfloat16")
    assert provenance["reasons"]["precision"].count("ms per step") == 1
    assert provenance["epochs_spent"] == len(curves)
    assert provenance["ended"] >= provenance["started"]
    assert os.readlink(finished.path.parent / "latest") == "one"


def test_a_search_leaves_the_model_of_its_best_trial_which_counts_cells_at_once(
    folder: Path, finished: RunDirectory
) -> None:
    card, best = finished.read_json("model/model.json"), finished.read_json("best.json")
    assert (card["search"]["trial"], card["search"]["epoch"]) == (best["trial"], best["epochs"])
    assert (card["configuration"], card["parameters"]) == (best["configuration"], best["parameters"])
    assert (card["run"], card["data"]["title"]) == ("one", "tiny0") and "source" not in card["data"]
    command = "tiny0.npz --model runs/latest --json count.json"
    code, out, err = run_command(folder, command, ("-m", "bloodtune.predict"))
    assert code == 0, err
    assert "168 images counted" in out
    assert "comes straight from a search: it was neither retrained nor tested" in err
    images = json.loads((folder / "count.json").read_text())["images"]
    right = [image["class"] == f"class {int(image['file'].split('[')[1][:-1]) % 3}" for image in images]
    assert sum(right) / len(right) > 0.9, "three classes of colour are easy"


def test_the_study_opens_in_optuna_and_nothing_in_it_runs(finished: RunDirectory) -> None:
    study = load_study(finished.path / "study.journal", "one")
    states = [trial.state for trial in study.trials]
    assert len(states) == 8
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    pruned = next(trial for trial in study.trials if trial.state == TrialState.PRUNED)
    assert list(pruned.intermediate_values) == [1]


def test_a_healthy_run_says_only_what_concerns_the_user(searched: tuple[Path, str]) -> None:
    folder, err = searched
    lines = err.splitlines()
    assert lines[0] == "run runs/one: tiny0, budget 8, 1 worker"
    assert lines[-2] == "run directory: runs/one"
    command = lines[-1].removeprefix("next: ").split()
    python = shutil.which("python") or "" if command[0] == "python" else folder / command[0]
    assert os.path.abspath(python) == sys.executable
    assert (folder / command[1]).resolve() == ROOT / "analysis" / "summarize.py"
    assert command[2:] == ["runs/one"]
    assert "8/8 trials in" in lines[-4]
    assert lines[-3].startswith("best validation macro-F1 ")
    assert re.match(r"precision (float32|bfloat16): .+, ms per step: cnn \d+ float32", lines[3])
    assert lines[1].startswith("audit: exact copies: none; ")
    assert lines[2].startswith("the validation split has 36 images, 12 in its smallest class: ")
    progress = lines[4:-4]
    assert progress
    assert all(line.split(" ")[0].endswith("/8") and "images/s" in line for line in progress), err


def test_one_worker_and_one_seed_give_the_same_search_twice(folder: Path) -> None:
    command = "--recipe tpe.toml --data tiny0.npz --budget 8 --workers 1 --seed 3 --name two --profile"
    code, _, err = run_command(folder, command)
    assert code == 0, err
    one, two = (pd.read_csv(folder / "runs" / name / "trials.csv").drop(columns=CLOCKS) for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    # And with --profile it says where its time went.
    table = pd.read_csv(folder / "runs/two/profile.csv").set_index("part")
    assert all(line in err for line in ("forward and backward", "and imports torch"))
    assert (table.seconds >= 0).all()
    assert abs(table.percent.sum() - 100) < 0.5
    trained = table.seconds[["augment", "forward and backward", "validate"]].sum()
    epochs = RunDirectory.open(folder / "runs/two").curves().seconds.sum()
    assert trained == pytest.approx(epochs, rel=0.1, abs=0.1)


def test_a_warm_start_tries_the_best_of_another_run_first_on_other_data(folder: Path, finished: RunDirectory) -> None:
    command = "--recipe tpe.toml --data tiny1.npz --budget 2 --workers 1 --warm-start one --name warm"
    code, _, err = run_command(folder, command)
    assert code == 0, err
    first = RunDirectory.open(folder / "runs/warm").proposals()
    best = best_records([record for record in finished.trials() if not record.label], [1], 2)
    assert [proposal.configuration for proposal in first[: len(best)]] == [record.configuration for record in best]
    assert [proposal.label for proposal in first[: len(best)]] == [f"one trial {record.trial}" for record in best]


def test_a_trial_that_diverges_is_failed_and_costs_no_more_epochs(folder: Path) -> None:
    write_recipe(folder, sampler="enqueued", first_rate=100.0)
    (folder / "tiny0.npz").rename(folder / "my cells (1).npz")  # a file may have any name
    code, _, err = run_command(folder, "--recipe enqueued.toml --data 'my cells (1).npz' --budget 2 --workers 1")
    assert code == 0, err
    run = RunDirectory.open(folder / "runs" / "latest")
    assert run.name.endswith("-my-cells-1-")
    trials = pd.read_csv(run.path / "trials.csv").set_index("label")
    assert trials.state["first"] == "FAILED"
    assert re.fullmatch(r"(training|validation) loss is (nan|inf) in epoch 1", trials.message["first"])
    assert trials.epochs["first"] == 0
    assert trials.state["second"] == "COMPLETE"
