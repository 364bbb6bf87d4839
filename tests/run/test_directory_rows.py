"""Rows of a run directory: what is appended is what is read, to the last bit."""

import csv
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bloodtune.errors import InputError
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import FAILED, EpochRecord, Proposal
from engine_fixtures import SGD, make_configuration
from run_fixtures import make_epochs, make_record


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "first", "")


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
