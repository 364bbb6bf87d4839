"""Runs whose files a stranger wrote or a disk garbled: one line, or a record that is repaired; found by fuzzing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bloodtune.files import RUN_MODEL
from bloodtune.run.best_model import drop_model_of_another
from bloodtune.run.checkpoints import CHECKPOINTS, Checkpoint, state_digest
from bloodtune.run.directory import CURVES, PROPOSALS, PROVENANCE, TRIALS, RunDirectory
from bloodtune.run.overview import list_runs
from bloodtune.run.provenance import read_provenance
from bloodtune.run.records import Proposal
from bloodtune.run.repair import repair
from error_fixtures import refusal
from run_fixtures import make_checkpoint, make_epochs, make_record

DEEP = b'{"a":' * 50_000
WHOLE = {"seed": 3, "budget": 8, "started": "2026-01-01", "data": {"source": "x.npz", "md5": "0", "preparation": {}}}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path, "run", "", WHOLE)
    for number in range(2):
        record = make_record(number)
        run.append_proposal(Proposal(number, record.label, record.configuration))
        run.append_epochs(number, make_epochs(3))
        run.append_trial(record)
    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "3"}, "seed = '3', so the file is damaged; expected int"),
        ({"seed": True}, "seed = True, "),
        ({"seed": -1}, "seed = -1, "),
        ({"budget": 10**400}, "budget = 1000"),
        ({"budget": 8.5}, "budget = 8.5, "),
        ({"budget": -1}, "budget = -1, "),
        ({"wall_seconds": float("nan")}, "wall_seconds = nan, so the file is damaged; expected int or float"),
        ({"wall_seconds": float("inf")}, "wall_seconds = inf, "),
        ({"resumed": 0}, "resumed = 0, "),
        ({"discarded_epochs": None}, "discarded_epochs = None, "),
        ({"data": []}, "data = [], "),
        ({"data": {"md5": "0"}}, "data.source is missing, so the file is damaged"),
        ({"data": WHOLE["data"] | {"source": 5}}, "data.source = 5, "),  # type: ignore[operator]
        ({"data": WHOLE["data"] | {"preparation": {"size": "x"}}}, "size = 'x'"),  # type: ignore[operator]
        ({"data": WHOLE["data"] | {"preparation": {"way": 1}}}, "unexpected keyword"),  # type: ignore[operator]
        ({"data": WHOLE["data"] | {"preparation": {"without": [[]]}}}, "expected names of"),  # type: ignore[operator]
        ({"data": WHOLE["data"] | {"preparation": {"seed": -1}}}, "seed = -1"),  # type: ignore[operator]
    ],
)
def test_an_entry_of_another_kind_is_named(run: RunDirectory, changes: dict[str, Any], message: str) -> None:
    (run.path / PROVENANCE).write_text(json.dumps(WHOLE | changes))
    found = refusal(lambda: read_provenance(run, needed=("seed", "data.source")))
    assert found.startswith(str(run.path / PROVENANCE))
    assert message in found
    assert "source is missing" in message or list_runs(run.path.parent)[0].state == "damaged"


@pytest.mark.parametrize("content", [DEEP, b"[]", b"[1, 2]", b"null", b"5", b'"text"', b"\xff", b"9" * 5000])
def test_a_provenance_that_is_no_object_is_damaged(run: RunDirectory, content: bytes) -> None:
    (run.path / PROVENANCE).write_bytes(content)
    assert "provenance.json is damaged: " in refusal(lambda: run.read_json(PROVENANCE))
    assert list_runs(run.path.parent)[0].state == "damaged"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (TRIALS, b"COMPLETE", b"COMPLETED"),
        (TRIALS, b",3,0.30000000000000004,", b",3,nan,"),
        (TRIALS, b",3,0.30000000000000004,", b",3,,"),
        (TRIALS, b"\n1,COMPLETE", b"\n-1,COMPLETE"),
        (TRIALS, b"\n1,COMPLETE", b"\n" + b"9" * 30 + b",COMPLETE"),
        (TRIALS, b",12.345,", b",1e999,"),
        (CURVES, b"\n1,", b"\n-1,"),
        (CURVES, b"\n1,", b"\n" + b"9" * 30 + b","),
        (CURVES, b"\n1,1,", b"\n1," + b"9" * 30 + b","),
        (PROPOSALS, b'{"trial": 1', b'{"trial": Infinity'),
        (PROPOSALS, b'{"trial": 1', b'{"trial": NaN'),
        (PROPOSALS, b'{"trial": 1', b'{"trial": -1'),
        (PROPOSALS, b'{"trial": 1', b'{"trial": 1, "config": []} {"trial": 2'),
        (PROPOSALS, b'{"trial": 1', DEEP),
    ],
)
def test_a_record_that_makes_no_sense_is_repaired(run: RunDirectory, name: str, old: bytes, new: bytes) -> None:
    content = (run.path / name).read_bytes()
    assert old in content
    (run.path / name).write_bytes(content.replace(old, new, 1))
    assert f"{name} is damaged in line" in refusal(run.read_records(name).complete)
    assert any(name in note for note in repair(run).notes)
    assert not run.read_records(name).damaged
    assert run.curves().trial.between(0, 1).all()


def test_a_configuration_that_is_a_list_is_damage(run: RunDirectory) -> None:
    (run.path / PROPOSALS).write_text('{"trial": 0, "label": "", "config": []}\n')
    assert run.read_records(PROPOSALS).damaged == [1]


@pytest.mark.parametrize("name", ["0-x", "0-", "0--1", "0-1-2-3", f"0-{'9' * 5000}"[:200], "0-٣"])
def test_a_file_that_is_no_checkpoint_is_passed_over(run: RunDirectory, name: str) -> None:
    run.write_checkpoint(0, make_checkpoint(2))
    (run.path / CHECKPOINTS / f"{name}.checkpoint").write_bytes(state_digest(b"x") + b"x")
    assert run.checkpoint(0) == Checkpoint(2, make_checkpoint(2).state)


def test_the_card_of_a_model_nested_too_deeply_is_left(run: RunDirectory) -> None:
    (run.path / RUN_MODEL).mkdir()
    (run.path / RUN_MODEL / "model.json").write_bytes(DEEP)
    drop_model_of_another(run.path, 1)
    assert (run.path / RUN_MODEL / "model.json").exists()
