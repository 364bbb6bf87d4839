"""Repair of records after an interruption or damage: complete trials stay, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bloodtune.errors import InputError
from bloodtune.files import keep_damaged_copy
from bloodtune.run.checkpoints import CHECKPOINTS
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, Proposal
from bloodtune.run.repair import examine, repair
from engine_fixtures import make_configuration
from run_fixtures import make_checkpoint, make_epochs, make_record

RECORDS = ("trials.csv", "curves.csv", "proposals.jsonl")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "run", "")


def add_trial(run: RunDirectory, number: int, epochs: int = 3, **changes: object) -> None:
    record = make_record(number, epochs=epochs, **changes)
    run.append_proposal(Proposal(number, record.label, record.configuration))
    run.append_epochs(number, make_epochs(epochs, seed=number))
    run.append_trial(record)


def contents(run: RunDirectory) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in RECORDS}


def test_epochs_of_a_trial_without_a_row_are_discarded(run: RunDirectory) -> None:
    for number, epochs in ((0, 3), (1, 2), (2, 1)):
        run.append_epochs(number, make_epochs(epochs, seed=number))
    run.append_trial(make_record(0))
    run.append_trial(make_record(2, epochs=1, state=FAILED, message="loss is nan"))
    before = run.curves()
    assert repair(run).discarded == make_epochs(2, seed=1)
    after = run.curves()
    pd.testing.assert_frame_equal(after, before[before.trial != 1].reset_index(drop=True), check_exact=True)
    # What is run again takes its place behind them.
    run.append_epochs(1, make_epochs(1))
    assert run.curves().trial.tolist() == [0, 0, 0, 2, 1]
    assert not list(run.path.glob(".*"))


def test_an_interrupted_trial_keeps_the_epochs_up_to_its_checkpoint(run: RunDirectory) -> None:
    run.append_epochs(0, make_epochs(5))
    run.write_checkpoint(0, make_checkpoint(3))
    whole = repair(run)
    assert [epoch.epoch for epoch in whole.discarded] == [4, 5]
    assert run.curves().epoch.tolist() == [1, 2, 3]


def test_a_checkpoint_beyond_the_known_epochs_is_of_no_use(run: RunDirectory) -> None:
    run.append_epochs(0, make_epochs(5))
    run.write_checkpoint(0, make_checkpoint(6))
    assert len(repair(run).discarded) == 5
    assert run.checkpoint(0) is None


def test_a_damaged_checkpoint_costs_its_trial_alone(run: RunDirectory) -> None:
    for number in (0, 1):
        run.append_epochs(number, make_epochs(4, seed=number))
        run.write_checkpoint(number, make_checkpoint(4))
    file = run.path / CHECKPOINTS / "0-4.checkpoint"
    file.write_bytes(file.read_bytes()[:-9])
    assert repair(run).notes == []
    assert run.curves().trial.tolist() == [1] * 4


def test_a_checkpoint_that_was_never_whole_goes(run: RunDirectory) -> None:
    run.append_epochs(0, make_epochs(2))
    run.write_checkpoint(0, make_checkpoint(2))
    for name in (".0-2.checkpoint", ".1-4.checkpoint", "1-4.checkpoint"):
        (run.path / CHECKPOINTS / name).write_bytes(b"PK")
    repair(run)
    assert [file.name for file in (run.path / CHECKPOINTS).iterdir()] == ["0-2.checkpoint"]


def test_a_run_without_a_finished_trial_keeps_its_header(run: RunDirectory) -> None:
    header = (run.path / "curves.csv").read_text()
    run.append_epochs(0, make_epochs(2))
    repair(run)
    assert (run.path / "curves.csv").read_text() == header


def test_whole_records_are_not_touched(run: RunDirectory) -> None:
    def written() -> list[tuple[int, int]]:  # not when it was read, which is in whole seconds, and changes
        return [(status.st_ino, status.st_mtime_ns) for status in ((run.path / name).stat() for name in RECORDS)]

    add_trial(run, 0)
    before = written()
    whole = repair(run)
    assert (whole.discarded, whole.notes) == ([], [])
    assert written() == before


def test_lines_that_were_cut_off_are_taken_out_without_a_word(run: RunDirectory) -> None:
    add_trial(run, 0)
    before = contents(run)
    torn_lines = {"trials.csv": b"1,COMPL", "curves.csv": b"0,3,0.25,", "proposals.jsonl": b'{"trial": 1, "la'}
    for name, torn in torn_lines.items():
        (run.path / name).write_bytes(before[name] + torn)
    assert repair(run).notes == []
    assert contents(run) == before
    run.append_trial(make_record(1))
    assert [record.trial for record in run.trials()] == [0, 1]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\x00\x01\n", b"nothing of it\n", b"\n", b"1,COMPLETE,x,,,,,,\n", b"\0" * 512 + b"\n"]
)
@pytest.mark.parametrize("name", RECORDS)
def test_a_garbled_line_is_said_and_the_rest_is_kept(run: RunDirectory, name: str, garbage: bytes) -> None:
    for number in range(3):
        add_trial(run, number)
    before = contents(run)
    lines = before[name].splitlines(keepends=True)
    (run.path / name).write_bytes(b"".join([*lines[:2], garbage, *lines[2:]]))
    damaged = contents(run)
    whole = examine(run)
    assert contents(run) == damaged, "examining writes nothing"
    assert whole.notes == [f"{run.path / name} is damaged in line 3; the other records are kept"]
    assert repair(run) == whole
    assert contents(run) == before
    assert (run.path / f"{name}.damaged").read_bytes() == damaged[name]
    assert repair(run).notes == []


def test_a_trial_whose_row_is_garbled_runs_again(run: RunDirectory) -> None:
    for number in range(3):
        add_trial(run, number)
    file = run.path / "trials.csv"
    file.write_bytes(file.read_bytes().replace(b"\n1,COMPLETE,3,0.3", b"\n1,COMPL\xffTE,3,0.3"))
    repair(run)
    assert [record.trial for record in run.trials()] == [0, 2]
    assert run.curves().trial.unique().tolist() == [0, 2]
    assert [proposal.trial for proposal in run.proposals()] == [0, 1, 2], "as it was proposed"


def test_a_trial_whose_curve_is_garbled_runs_again(run: RunDirectory) -> None:
    for number in range(3):
        add_trial(run, number)
    file = run.path / "curves.csv"
    lines = file.read_bytes().splitlines(keepends=True)
    assert lines[5].startswith(b"1,2,")
    file.write_bytes(b"".join([*lines[:5], b"1,2,0.7\n", *lines[6:]]))
    whole = repair(run)
    assert whole.notes == [
        f"{file} is damaged in line 6; the other records are kept",
        f"{file} lacks epochs of finished trials; these run again: 1",
    ]
    assert [record.trial for record in run.trials()] == [0, 2]
    assert run.curves().trial.value_counts().to_dict() == {0: 3, 2: 3}


def test_a_proposal_that_is_lost_is_known_from_its_trial(run: RunDirectory) -> None:
    for number in range(2):
        add_trial(run, number)
    proposals = run.proposals()
    (run.path / "proposals.jsonl").unlink()
    assert repair(run).notes == [f"{run.path / 'proposals.jsonl'} is missing; the other records are kept"]
    assert run.proposals() == proposals


def test_what_is_there_twice_counts_once(run: RunDirectory) -> None:
    add_trial(run, 0)
    before = contents(run)
    for name, content in before.items():
        body = content if name == "proposals.jsonl" else content.partition(b"\n")[2]
        (run.path / name).write_bytes(content + body)
    repair(run)
    assert contents(run) == before


@pytest.mark.parametrize("name", ["trials.csv", "curves.csv"])
def test_an_empty_file_gets_its_header_back(run: RunDirectory, name: str) -> None:
    (run.path / name).write_bytes(b"")
    assert repair(run).notes == [f"{run.path / name} is damaged in line 1; the other records are kept"]
    add_trial(run, 0)
    assert repair(run).notes == []
    assert [record.trial for record in run.trials()] == [0]


def test_a_garbled_header_is_written_again(run: RunDirectory) -> None:
    add_trial(run, 0)
    before = contents(run)
    (run.path / "curves.csv").write_bytes(b"t\xffial" + before["curves.csv"][5:])
    assert repair(run).notes == [f"{run.path / 'curves.csv'} is damaged in line 1; the other records are kept"]
    assert contents(run) == before


def test_a_damaged_copy_replaces_no_other(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    for content in "abc":
        file.write_text(content)
        keep_damaged_copy(file)
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p != file} == {
        "study.db.damaged": "a",
        "study.db.damaged-2": "b",
        "study.db.damaged-3": "c",
    }


def test_a_proposal_of_a_trial_that_has_not_begun_stays(run: RunDirectory) -> None:
    run.append_proposal(Proposal(0, "", make_configuration()))
    repair(run)
    assert [proposal.trial for proposal in run.proposals()] == [0]


def test_a_run_from_before_a_hyperparameter_is_read_and_repaired_to_todays_columns(run: RunDirectory) -> None:
    for number in range(2):
        add_trial(run, number)
    today, file = contents(run), run.path / "trials.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table.drop(columns=["config.mixup", "config.depth"]).to_csv(file, index=False)
    assert [record.trial for record in run.trials()] == [0, 1]
    assert {record.configuration for record in run.trials()} == {make_record(0).configuration}
    assert repair(run).notes == []
    assert contents(run) == today, "nothing is kept as damaged, and the header is today's"


def test_a_run_that_lacks_a_column_of_its_results_is_of_another_version(run: RunDirectory) -> None:
    add_trial(run, 0)
    file = run.path / "trials.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    for lacking in ("retries", "config.width"):
        table = table.drop(columns=lacking)
        table.to_csv(file, index=False)
        with pytest.raises(InputError, match="columns of another version"):
            run.trials()
