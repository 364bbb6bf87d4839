"""The run that a search goes on with, the run that it starts warm from, and the command to type next."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.run.directory import RunDirectory
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.options import SearchOptions
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.resume import next_command, open_resumed, predict_command, warm_start
from bloodtune.tuning.sampler import StudySampler
from data_fixtures import make_arrays, save
from error_fixtures import refusal
from run_fixtures import make_record


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.chdir(tmp_path)
    return RunDirectory.create(Path("runs"), "night", load_recipe("smoke").text, {"seed": 3, "precision": "float32"})


def make_plan(folder: Path, budget: int) -> Plan:
    save(folder / "tiny.npz", make_arrays())
    dataset = load_dataset(str(folder / "tiny.npz"))
    return Plan(load_recipe("smoke"), budget, 0, dataset, 2, 0, None, place=("--workers", "2"))


@pytest.mark.parametrize(
    ("program", "finished", "expected"),
    [
        ("search.py", 3, ["-m", "bloodtune.search", "--resume", "night", "--workers", "2"]),
        ("search.py", 8, ["summarize.py", "runs/night"]),
        ("bloodtune", 3, ["bloodtune", "search", "--resume", "night", "--workers", "2"]),
        ("bloodtune", 8, ["bloodtune", "summarize", "runs/night"]),
    ],
)
def test_the_next_command_is_of_the_kind_that_was_typed(
    run: RunDirectory, program: str, finished: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / program)])
    words = next_command(run, make_plan(tmp_path, 8), finished).split()
    assert [Path(word).name if "/" in word and "runs" not in word else word for word in words][
        -len(expected) :
    ] == expected


def test_a_console_command_on_the_path_needs_no_folder(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "bloodtune"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert next_command(run, make_plan(tmp_path, 8), 8) == "bloodtune summarize runs/night"
    assert predict_command(run) == "bloodtune predict FOLDER --model runs/night"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resume": ""}, "--resume: the name of a run is empty"),
        ({"resume": "night", "seed": 4}, "--seed 4: run night has seed 3 and keeps it"),
        ({"resume": "night", "precision": "tf32"}, "--precision tf32: run night trains in float32 and keeps it"),
        ({"resume": "night", "recipe": "cnn"}, "--recipe cannot be given with --resume: the run keeps its own"),
        ({"resume": "night", "folds": 3}, "--folds cannot be given with --resume: the run keeps its own"),
        ({"resume": "night", "max_epochs": 3}, "--max-epochs cannot be given with --resume: the run keeps its own"),
    ],
)
@pytest.mark.usefixtures("run")
def test_a_run_that_cannot_be_resumed_is_refused(change: dict[str, object], message: str) -> None:
    assert refusal(lambda: open_resumed(SearchOptions(**change), Path("runs"), None)) == message  # type: ignore[arg-type]


def test_a_warm_start_enqueues_what_the_recipe_does_not(run: RunDirectory) -> None:
    recipe = load_recipe("cnn")
    own, sampled = recipe.enqueued[0].configuration, StudySampler(recipe, seed=0).ask(50)
    run.append_trial(make_record(0, configuration=own))
    message = "--warm-start night: no configuration of this run can be tried here: it has no scored trial "
    assert refusal(lambda: warm_start(recipe, Path("runs"), "night")).startswith(message)
    run.append_trial(make_record(1, configuration=sampled))
    started = warm_start(recipe, Path("runs"), "night").enqueued
    assert started[0].label == "night trial 1"
    assert [entry.configuration for entry in started] == [sampled, *(e.configuration for e in recipe.enqueued)]
