"""The run directory: names, the link `latest`, opening, and its JSON files."""

import json
import os
from pathlib import Path

import pytest

from bloodtune.errors import InputError
from bloodtune.files import point_latest
from bloodtune.run.directory import BEST, PROVENANCE, RunDirectory, load_run, plain_name
from bloodtune.run.records import PRUNED, Proposal
from bloodtune.space.configuration import FIELD_NAMES
from run_fixtures import make_epochs, make_record

TRIAL_COLUMNS = (
    "trial state epochs val_macro_f1 best_val_macro_f1 best_epoch val_accuracy train_seconds parameters started retries"
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "first", "description = 'x × y'\n")


def test_create_makes_empty_records_with_the_columns_of_the_issue(run: RunDirectory) -> None:
    records = {"trials.csv", "curves.csv", "proposals.jsonl"}
    assert {file.name for file in run.path.iterdir()} == records | {"recipe.toml", "provenance.json"}
    trials = (run.path / "trials.csv").read_text().splitlines()
    assert len(trials) == 1
    columns = trials[0].split(",")
    assert " ".join(columns[:11]) == TRIAL_COLUMNS
    assert [column for column in columns if column.startswith("config.")] == [f"config.{name}" for name in FIELD_NAMES]
    header = "trial,epoch,train_loss,val_loss,val_accuracy,val_macro_f1,seconds\n"
    assert (run.path / "curves.csv").read_text() == header
    assert (run.path / "recipe.toml").read_text(encoding="utf-8") == "description = 'x × y'\n"
    assert (run.trials(), run.proposals(), len(run.curves())) == ([], [], 0)
    assert (run.read_json(BEST), run.read_json(PROVENANCE)) == ({}, {})


def test_latest_points_to_the_newest_run(tmp_path: Path, run: RunDirectory) -> None:
    latest = tmp_path / "runs" / "latest"
    assert os.readlink(latest) == "first"
    RunDirectory.create(tmp_path / "runs", "second", "")
    assert os.readlink(latest) == "second"
    assert RunDirectory.open(latest).name == "second"
    assert run.name == "first"
    # What was opened through the link stays with its run.
    opened = RunDirectory.open(latest)
    point_latest(tmp_path / "runs", "first")
    assert (opened.name, opened.path.name) == ("second", "second")
    # It goes on pointing there when the folder of all runs moves.
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert RunDirectory.open(tmp_path / "moved" / "latest").name == "first"


def test_create_refuses_a_name_that_is_taken(tmp_path: Path, run: RunDirectory) -> None:
    run.append_trial(make_record())
    with pytest.raises(InputError, match=r"runs/first exists; choose another --name or --resume first$"):
        RunDirectory.create(tmp_path / "runs", "first", "")
    assert len(run.trials()) == 1


@pytest.mark.parametrize("name", ["one", "2026-01-01_10.00+synthetic", "größer"])
def test_create_takes_plain_names(tmp_path: Path, name: str) -> None:
    assert RunDirectory.create(tmp_path, name, "").name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "latest", "a/b", "../a", "/a", "a/", "a b", "a?b", "a\n", "Latest"]
)
def test_create_refuses_what_is_not_one_folders_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        RunDirectory.create(tmp_path / "runs", name, "")
    allowed = "letters, digits, _ and (not first) . + -, except 'latest'"
    assert str(caught.value) == f"run name {name!r}: allowed are {allowed}"
    assert list(tmp_path.iterdir()) == []


def test_create_refuses_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InputError, match=r"runs cannot be written: Not a directory$"):
        RunDirectory.create(tmp_path / "runs", "first", "")
    with pytest.raises(InputError, match=r"cannot be written: File name too long$"):
        RunDirectory.create(tmp_path, "a" * 300, "")


def test_create_leaves_nothing_behind_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bloodtune.run.directory.append", append)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device$"):
        RunDirectory.create(tmp_path, "first", "")
    assert list(tmp_path.iterdir()) == []


def test_create_goes_on_without_latest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latest").mkdir()  # where the link should be
    assert RunDirectory.create(tmp_path, "first", "").trials() == []
    assert capsys.readouterr().err == f"{tmp_path / 'latest'} does not name first: Is a directory\n"


def test_latest_is_found_where_it_is_a_file(tmp_path: Path, run: RunDirectory) -> None:
    latest = tmp_path / "runs" / "latest"
    latest.unlink()
    latest.write_text("first\n")
    assert RunDirectory.open(latest).path == run.path
    assert load_run(latest).path == run.path


def test_create_writes_the_provenance_before_the_run_counts_as_one(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "first", "", {"seed": 3})
    assert run.read_json(PROVENANCE) == {"seed": 3}


def test_open_names_the_runs_that_are_there(tmp_path: Path, run: RunDirectory) -> None:
    RunDirectory.create(tmp_path / "runs", "second", "")
    assert RunDirectory.open(run.path).path == run.path
    with pytest.raises(InputError, match=r"^no run at .*runs/third; runs in folder .*runs: first, second$"):
        RunDirectory.open(tmp_path / "runs" / "third")
    with pytest.raises(InputError, match=r"^no run at .*nowhere/first; runs in folder .*nowhere: none$"):
        RunDirectory.open(tmp_path / "nowhere" / "first")


def test_open_refuses_a_folder_without_records(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"^no run at .*folder; runs in folder .*: none$"):
        RunDirectory.open(tmp_path / "folder")


def test_write_best_tells_trial_and_configuration(run: RunDirectory) -> None:
    record = make_record(5, state=PRUNED)
    run.write_best(make_record(4))
    run.write_best(record)
    best = run.read_json(BEST)
    assert best.pop("configuration") == record.configuration.to_mapping()
    assert best == {
        "trial": 5,
        "label": "CNN config 1",
        "state": "PRUNED",
        "best_val_macro_f1": 1 / 3,
        "best_epoch": 2,
        "epochs": 3,
        "parameters": 1234,
    }


def test_json_is_replaced_as_a_whole(run: RunDirectory) -> None:
    run.write_json(PROVENANCE, {"seed": 0, "command": "größer"})
    run.write_json(PROVENANCE, {"seed": 1})
    assert json.loads((run.path / PROVENANCE).read_text()) == run.read_json(PROVENANCE) == {"seed": 1}
    assert not list(run.path.glob(".*"))


def test_open_refuses_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no run at "):
        RunDirectory.open(tmp_path / ("x" * 300))


def test_standing_counts_a_paused_trial_as_pruned_where_it_stands(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "run", "")
    for number in range(4):
        run.append_proposal(Proposal(number, "", make_record(number).configuration))
    run.append_trial(make_record(0))
    for number, count in ((0, 3), (2, 1), (1, 2)):
        run.append_epochs(number, make_epochs(count, seed=number))
    finished, *others = run.standing()
    assert finished == make_record(0)
    assert [(r.trial, r.state, r.epochs, r.message) for r in others] == [
        (1, PRUNED, 2, "not finished"),
        (2, PRUNED, 1, "not finished"),
    ], "trial 3 has no epoch yet"
    assert others[0].best_val_macro_f1 == max(epoch.val_macro_f1 for epoch in make_epochs(2, seed=1))
    assert run.trials() == [make_record(0)]


def test_the_name_that_a_long_title_gives_fits_a_file_system() -> None:
    assert plain_name("a b/c") == "a-b-c"
    assert len(f"20261126-220115-{plain_name('𐐨' * 250)}-4194304".encode()) <= 255
