"""Records as lines of text: what comes back of them, and which lines count as damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from bloodtune.errors import InputError
from bloodtune.run.records import (
    COMPLETE,
    FAILED,
    PRUNED,
    TRIAL_COLUMNS,
    EpochRecord,
    Proposal,
    RecordFile,
    best_record,
    best_records,
    best_so_far,
    epoch_row,
    parse_epoch,
    parse_trial,
    scored,
    to_csv,
)
from engine_fixtures import SGD, make_configuration
from error_fixtures import refusal
from run_fixtures import make_record
from summary_fixtures import fake_run


def read(file: Path, content: bytes | None, header: str = "number,square") -> RecordFile[tuple[int, int]]:
    """Read a file of numbers and their squares."""

    def parse(line: str) -> tuple[int, int]:
        number, square = map(int, line.split(","))
        return number, square

    if content is not None:
        file.write_bytes(content)
    return RecordFile.read(file, header, parse)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "night").mkdir()
    return tmp_path / "night" / "squares.csv"


# A file of records


def test_a_whole_file_has_its_records_and_no_damage(file: Path) -> None:
    found = read(file, b"number,square\n2,4\n3,9\n")
    assert (found.records, found.damaged, found.has_partial_line) == ([(2, 4), (3, 9)], [], False)
    assert found.complete() == [(2, 4), (3, 9)]


def test_a_file_without_a_header_starts_with_its_first_record(file: Path) -> None:
    found = read(file, b"2,4\nx\n3,9\n", header="")
    assert (found.records, found.damaged) == ([(2, 4), (3, 9)], [2])


def test_a_last_line_without_its_end_is_no_record_and_no_damage(file: Path) -> None:
    found = read(file, b"number,square\n2,4\n3,9")
    assert (found.records, found.damaged, found.has_partial_line) == ([(2, 4)], [], True)


def test_an_empty_file_lacks_its_header(file: Path) -> None:
    found = read(file, b"")
    assert (found.records, found.damaged, found.has_partial_line) == ([], [1], False)
    assert read(file, b"", header="").damaged == []


def test_a_header_that_was_cut_off_is_damaged(file: Path) -> None:
    found = read(file, b"number,sq")
    assert (found.records, found.damaged, found.has_partial_line) == ([], [1], True)


def test_lines_are_numbered_from_the_header_on(file: Path) -> None:
    found = read(file, b"number,square\n2,4\n\xff\n3,9\n4\n\n")
    assert (found.records, found.damaged) == ([(2, 4), (3, 9)], [3, 5, 6])


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (None, "is missing"),
        (b"numbr,square\n2,4\n", "is damaged in line 1"),
        (b"number,square\n2,4\nx\n", "is damaged in line 3"),
        (b"number,square\nx\n2,4\nx\n\n", "is damaged in line 2 and 2 more"),
    ],
)
def test_damage_is_told_in_one_line_with_the_command_that_repairs_it(
    file: Path, content: bytes | None, damage: str
) -> None:
    found = read(file, content)
    assert found.damage() == f"{file} {damage}"
    assert refusal(found.complete) == (f"{file} {damage}; --resume night repairs it and keeps the other records")


@pytest.mark.parametrize("header", ["trial,state", "trial,config.width2,a_b"])
def test_other_columns_are_those_of_another_version(file: Path, header: str) -> None:
    message = refusal(lambda: read(file, header.encode() + b"\n"))
    assert message == f"{file} has the columns of another version of Bloodtune"


def test_an_error_of_our_own_while_parsing_is_not_taken_for_damage(file: Path) -> None:
    def broken(line: str) -> None:
        raise ZeroDivisionError("our own")

    file.write_bytes(b"a\n")
    with pytest.raises(ZeroDivisionError, match="our own"):
        RecordFile.read(file, "", broken)


# Rows and lines


def test_an_epoch_comes_back_to_the_last_bit() -> None:
    epoch = EpochRecord(12, 0.1 + 0.2, math.inf, 1 / 3, 5e-324, 1e300)
    (line,) = to_csv(epoch_row(7, epoch)).splitlines()
    assert parse_epoch(line) == (7, epoch)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not enough values to unpack"),
        ("1,2,0.5", "missing 4 required positional arguments"),
        ("1,2,0,0,0,0,0,0", "takes 7 positional arguments but 8 were given"),
        ("1.5,2,0,0,0,0,0", "invalid literal for int"),
        ("1,2,0,0,x,0,0", "could not convert string to float: 'x'"),
    ],
)
def test_a_line_that_is_no_epoch_is_refused(line: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        parse_epoch(line)


def test_a_trials_row_has_the_columns_of_the_file_in_their_order() -> None:
    assert tuple(make_record().to_row()) == TRIAL_COLUMNS


@pytest.mark.parametrize("nesterov", [False, True])
def test_true_and_false_come_back(nesterov: bool) -> None:
    record = make_record(configuration=make_configuration("cnn", **SGD | {"nesterov": nesterov}, dihedral=True))
    found = parse_trial(to_csv(record.to_row().values()).rstrip("\n"))
    assert found == record
    assert (found.configuration.nesterov, found.configuration.dihedral) == (nesterov, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells[:-1],
        lambda cells: [*cells, "1"],
        lambda cells: ["x", *cells[1:]],
        lambda cells: ["Fals" if cell is False else cell for cell in cells],
    ],
)
def test_a_line_that_is_no_trial_is_refused(change: Callable[[list[object]], list[object]]) -> None:
    cells = change(list(make_record().to_row().values()))
    with pytest.raises(ValueError, match=r"zip\(\) argument|invalid literal|expected True or False"):
        parse_trial(to_csv(cells).rstrip("\n"))


def test_a_trial_outside_the_bounds_of_its_hyperparameters_is_refused() -> None:
    row = make_record(configuration=make_configuration("cnn")).to_row() | {"config.width": 1024}
    with pytest.raises(InputError, match="width = 1024: allowed from 4 to 512"):
        parse_trial(to_csv(row.values()).rstrip("\n"))


def test_csv_quotes_what_would_split_a_row() -> None:
    assert to_csv((1, "a,b", None), ('say "x"', "", 0.5)) == '1,"a,b",\n"say ""x""",,0.5\n'
    assert to_csv() == ""


def test_a_proposal_is_one_line_of_json() -> None:
    proposal = Proposal(4, "größer\nals", make_configuration("mlnn"))
    line = proposal.to_line()
    assert "\n" not in line
    assert json.loads(line)["config"]["hidden_size"] == 32
    assert Proposal.from_line(line) == proposal


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Expecting value"),
        ("{}", "trial"),
        ("[]", "list indices must be integers"),
        ('{"trial": 1, "label": "", "config": {"family": "cnn"}}', "optimizer, learning_rate missing"),
    ],
)
def test_a_line_that_is_no_proposal_is_refused(line: str, message: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        Proposal.from_line(line)


# Scores


def test_trials_with_a_score_are_those_that_neither_failed_nor_stopped_before_an_epoch() -> None:
    records = [
        make_record(0, best_val_macro_f1=None),
        make_record(1, state=FAILED, best_val_macro_f1=0.9),
        make_record(2, state=PRUNED, best_val_macro_f1=0.0),
        make_record(3, best_val_macro_f1=0.5),
    ]
    assert [record.trial for record in scored(records)] == [2, 3]


def test_the_best_so_far_never_falls_and_starts_at_zero() -> None:
    scores = [(COMPLETE, None), (PRUNED, 0.5), (FAILED, 0.9), (COMPLETE, 0.4), (COMPLETE, 0.7)]
    records = [make_record(state=state, best_val_macro_f1=score) for state, score in scores]
    assert best_so_far(records) == [0.0, 0.5, 0.5, 0.5, 0.7]
    assert best_so_far([]) == []


def test_best_records_prefer_a_completed_trial_to_a_better_one_at_a_rung() -> None:
    records = [
        make_record(0, state=PRUNED, epochs=3, best_val_macro_f1=0.99),
        make_record(1, state=PRUNED, epochs=9, best_val_macro_f1=0.95),
        make_record(2, state=COMPLETE, epochs=27, best_val_macro_f1=0.5),
        make_record(3, state=COMPLETE, epochs=27, best_val_macro_f1=0.6),
        make_record(4, state=FAILED, epochs=27, best_val_macro_f1=1.0),
    ]
    assert [record.trial for record in best_records(records, (3, 9), 5)] == [3, 2]
    assert [record.trial for record in best_records(records[:2], (3, 9), 5)] == [1]
    assert [record.trial for record in best_records(records[:1], (3, 9), 5)] == [0]


def test_best_records_keep_the_order_of_equal_ones() -> None:
    records = [make_record(trial, best_val_macro_f1=0.5) for trial in (4, 2, 3)]
    assert [record.trial for record in best_records(records, (), 2)] == [4, 2]


def test_best_record_is_the_first_one_of_equals() -> None:
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
