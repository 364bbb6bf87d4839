"""The run directory: what is written, row by row, is what is read."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bloodtune.errors import InputError
from bloodtune.files import check_writable, point_latest
from bloodtune.run.checkpoints import CHECKPOINTS, Checkpoint
from bloodtune.run.directory import BEST, PROVENANCE, RunDirectory, load_run, plain_name
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, Proposal, best_record, best_records
from bloodtune.space.configuration import FIELD_NAMES
from engine_fixtures import SGD, make_configuration
from run_fixtures import make_checkpoint, make_epochs, make_record
from summary_fixtures import fake_run

TRIAL_COLUMNS = (
    "trial state epochs val_macro_f1 best_val_macro_f1 best_epoch val_accuracy train_seconds parameters started retries"
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "first", "description = 'x × y'\n")


# Making and opening


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


def test_point_latest_leaves_nothing_but_the_link(tmp_path: Path) -> None:
    for name in ("one", "two"):
        point_latest(tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
    assert os.readlink(tmp_path / "latest") == "two"


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


# Rows


@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual", "resnet"])
@pytest.mark.parametrize(
    "changes",
    [{}, SGD | {"nesterov": True}, {"loss": "focal", "focal_gamma": 2, "dihedral": True, "shift": 2, "ema": 0.1}],
)
def test_a_trial_comes_back_as_it_was(run: RunDirectory, family: str, changes: dict[str, Any]) -> None:
    records = [make_record(number, configuration=make_configuration(family, **changes)) for number in (4, 2)]
    for record in records:
        run.append_trial(record)
    assert RunDirectory.open(run.path).trials() == records


def test_a_trial_without_a_finished_epoch_comes_back_with_none(run: RunDirectory) -> None:
    empty = ("val_macro_f1", "best_val_macro_f1", "best_epoch", "val_accuracy", "parameters")
    record = make_record(state=FAILED, epochs=0, label="", train_seconds=0.0, **dict.fromkeys(empty))
    run.append_trial(record)
    assert run.trials() == [record]
    row = next(csv.DictReader((run.path / "trials.csv").open(newline="")))
    assert all(row[name] == "" for name in empty)


def test_fields_that_do_not_apply_are_empty_cells(run: RunDirectory) -> None:
    run.append_trial(make_record(configuration=make_configuration("cnn")))
    row = pd.read_csv(run.path / "trials.csv").iloc[0]
    assert row["config.width"] == 8
    names = ("hidden_layers", "hidden_size", "momentum", "nesterov", "focal_gamma", "label_smoothing")
    assert all(pd.isna(row[f"config.{name}"]) for name in names)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('ValueError: "a", b; c', 'ValueError: "a", b; c'),
        ("two\nlines, and\r\nthree", "two lines, and three"),
        ("progress 1\rprogress 2", "progress 1 progress 2"),
        ("größer als µ", "größer als µ"),
        ("not \udc80 a character", "not \\udc80 a character"),
        ("x" * 200_000, "x" * 500),
    ],
)
def test_a_message_becomes_one_line_that_can_be_read_back(run: RunDirectory, message: str, expected: str) -> None:
    run.append_trial(make_record(0, state=FAILED, message=message))
    run.append_trial(make_record(1))
    assert [record.message for record in run.trials()] == [expected, ""]
    assert len((run.path / "trials.csv").read_bytes().splitlines()) == 3


def test_a_row_is_on_disk_when_append_returns(run: RunDirectory) -> None:
    # A second reader, as an interrupted search would be to the one that resumes it.
    for number in range(3):
        run.append_proposal(Proposal(number, "", make_configuration()))
        run.append_epochs(number, make_epochs(1))
        run.append_trial(make_record(number))
        again = RunDirectory.open(run.path)
        assert len(again.trials()) == len(again.curves()) == len(again.proposals()) == number + 1


def test_proposals_come_back_in_their_order(run: RunDirectory) -> None:
    proposals = [
        Proposal(1, "", make_configuration("mlnn")),
        Proposal(0, 'quotes ", commas, µ', make_configuration("residual", **SGD)),
    ]
    for proposal in proposals:
        run.append_proposal(proposal)
    assert run.proposals() == proposals


def test_curves_come_back_to_the_last_bit(run: RunDirectory) -> None:
    first, second = make_epochs(200, seed=1), make_epochs(2, seed=2)
    run.append_epochs(7, first[:150])
    run.append_epochs(3, second)
    run.append_epochs(7, first[150:])
    run.append_epochs(5, [])
    curves = run.curves()
    assert curves.trial.unique().tolist() == [7, 3]
    read = [EpochRecord(*row) for row in curves[curves.trial == 7].drop(columns="trial").itertuples(index=False)]
    assert read == first


def test_a_loss_too_large_for_a_float_is_still_a_number(run: RunDirectory) -> None:
    run.append_epochs(0, [EpochRecord(1, math.inf, 1e300, 0.0, 0.0, 1.0)])
    row = run.curves().iloc[0]
    assert (row.train_loss, row.val_loss) == (math.inf, 1e300)


# Damage, and checkpoints


def test_a_damaged_line_is_named_and_nothing_is_read(run: RunDirectory) -> None:
    run.append_trial(make_record(0))
    run.append_trial(make_record(1))
    file = run.path / "trials.csv"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[1].replace("COMPLETE,3", "COMPLETE,\0") + lines[2])
    message = r"trials\.csv is damaged in line 2; --resume first repairs it and keeps the other records$"
    with pytest.raises(InputError, match=message):
        run.trials()


def test_columns_of_another_version_are_no_damage(run: RunDirectory) -> None:
    file = run.path / "trials.csv"
    file.write_text(file.read_text().replace("retries,", ""))
    with pytest.raises(InputError, match=r"trials\.csv has the columns of another version of Bloodtune"):
        run.trials()


def test_damaged_provenance_is_an_error_of_one_line(run: RunDirectory) -> None:
    (run.path / PROVENANCE).write_bytes(b'{"seed": 1, \xff')
    with pytest.raises(InputError, match=r"provenance\.json is damaged: "):
        run.read_json(PROVENANCE)


def test_the_last_checkpoint_of_a_trial_takes_the_place_of_the_one_before(run: RunDirectory) -> None:
    assert run.checkpoint(1) is None
    for trial, epoch in ((1, 9), (11, 2), (1, 10)):
        run.write_checkpoint(trial, make_checkpoint(epoch))
    assert run.checkpoint(1) == make_checkpoint(10)
    assert run.checkpoint(11) == make_checkpoint(2)
    assert sorted(file.name for file in (run.path / CHECKPOINTS).iterdir()) == ["1-10.checkpoint", "11-2.checkpoint"]
    run.drop_checkpoints(1)
    assert run.checkpoint(1) is None
    assert run.checkpoint(11) is not None


def test_a_checkpoint_that_is_not_whole_is_none(run: RunDirectory) -> None:
    run.write_checkpoint(0, make_checkpoint(4))
    file = run.path / CHECKPOINTS / "0-4.checkpoint"
    whole = file.read_bytes()
    garbled = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for damage in (b"", b"x" * 400, whole[:-1], *garbled):
        file.write_bytes(damage)
        assert run.checkpoint(0) is None
    file.write_bytes(whole)
    assert run.checkpoint(0) == make_checkpoint(4)


# The best trial, and the JSON files


def test_best_record_is_the_first_one_of_equals(run: RunDirectory) -> None:
    scores = [None, 0.5, 0.7, 0.7, 0.6]
    records = [make_record(number, best_val_macro_f1=score) for number, score in enumerate(scores)]
    best = best_record(records)
    assert best is not None and best.trial == 2


def test_best_record_is_none_where_nothing_was_scored() -> None:
    assert best_record([]) is None
    assert best_record([make_record(best_val_macro_f1=None)]) is None
    assert best_record([make_record(state=FAILED, best_val_macro_f1=0.9)]) is None


def test_best_record_may_have_a_score_of_zero_but_not_have_failed() -> None:
    record = make_record(state=PRUNED, best_val_macro_f1=0.0)
    assert best_record([make_record(state=FAILED, best_val_macro_f1=0.9), record]) is record
    assert best_record([make_record(best_val_macro_f1=None), record]) is record


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


def test_check_writable_takes_what_can_be_made_and_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_check_writable_refuses_a_place_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a cannot be written: .*file is not a writable folder$"):
        check_writable(tmp_path / "file" / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_writable_refuses_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"/a cannot be written: .* is not a writable folder$"):
            check_writable(tmp_path / ("x" * 300) / "a")
    finally:
        tmp_path.chmod(0o700)


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


def test_the_file_of_a_checkpoint_has_the_number_of_parameters_or_that_of_an_earlier_version(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "run", "")
    for checkpoint in (Checkpoint(9, b"a"), Checkpoint(10, b"b", 1234)):
        run.write_checkpoint(3, checkpoint)
        assert run.checkpoint(3) == checkpoint
    assert [file.name for file in (run.path / "checkpoints").iterdir()] == ["3-10-1234.checkpoint"]


def test_best_records_are_the_best_of_those_that_got_furthest(tmp_path: Path) -> None:
    trials = fake_run(tmp_path / "run").trials()
    finished = sorted((t for t in trials if t.state == COMPLETE), key=lambda t: t.best_val_macro_f1 or 0, reverse=True)
    assert 1 < len(finished) < len(trials)
    assert best_records(trials, (3, 9), len(trials)) == finished
    assert best_records(trials, (3, 9), 1) == finished[:1]
    stopped = [trial for trial in trials if trial.state == PRUNED]
    assert {trial.epochs for trial in stopped} == {3, 9}
    best = best_records(stopped, (3, 9), len(trials))
    assert {trial.epochs for trial in best} == {9}, "a lucky value at an early rung beats nothing at a later one"
    assert best_records([trial for trial in trials if trial.state == FAILED], (3, 9), 5) == []


def test_the_name_that_a_long_title_gives_fits_a_file_system() -> None:
    assert plain_name("a b/c") == "a-b-c"
    assert len(f"20261126-220115-{plain_name('𐐨' * 250)}-4194304".encode()) <= 255
