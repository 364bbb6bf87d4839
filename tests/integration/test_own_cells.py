"""A search on a folder of photographs: what it says, what it records, its resume and its summary's data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import summarize
from bloodtune import search
from bloodtune.run.directory import RunDirectory
from command_fixtures import run_command
from folder_fixtures import CLASSES, write_labelled, write_photographs
from run_fixtures import write_recipe
from summary_data import SearchRecords

SEARCH = "--recipe tpe.toml --workers 1"


@pytest.fixture
def cells(tmp_path: Path, home: Path) -> Path:
    """Write a folder of 90 photographs of 30 patients, and a recipe beside it."""
    write_recipe(tmp_path)
    write_labelled(tmp_path / "cells", images=30, header="file_name,label,patient", end=",p{number}")
    return tmp_path


def test_a_folder_is_searched_resumed_and_read_by_the_summary(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run_command(cells, f"{SEARCH} --data cells --budget 2 --seed 5 --name own")
    assert code == 0, err
    assert "90 photographs in 3 classes, by metadata.csv; splits drawn 7:1:2 with seed 5, no group and" in err
    assert "audit: exact copies: none; turned" in err and "groups: 30, none of them in two splits" in err
    assert "± " in err, "the validation split is small"
    run = RunDirectory.open(cells / "runs" / "own")
    splits = (run.path / "splits.csv").read_text()
    assert splits.startswith("file,class,split,group\nbasophil-0.png,basophil,") and splits.count("\n") == 91
    data = run.read_json("provenance.json")["data"]
    assert (data["class_names"], data["split_sizes"]) == (list(CLASSES), {"train": 63, "val": 9, "test": 18})
    code, _, err = run_command(cells, "--resume own --budget 3")
    assert code == 0, err
    assert (run.path / "splits.csv").read_text() == splits
    assert run.read_json("provenance.json")["data"] == data
    monkeypatch.chdir(cells)
    dataset = summarize._load_data(SearchRecords.read(run), run, None)
    assert [f"{r.file},{r.label},{r.split},{r.group}" for r in dataset.rows] == splits.splitlines()[1:]
    write_photographs(cells / "cells", ["ig-0.png"], size=29)
    code, _, err = run_command(cells, "--resume own --budget 4")
    assert (code, len(err.splitlines())) == (2, 1)


def test_folds_are_kept_by_a_resume_and_read_by_the_summary(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run_command(cells, f"{SEARCH} --data cells --budget 2 --folds 3 --name own")
    assert code == 0, err
    assert "--folds 3: the objective is the macro-F1 of the held-out predictions of 72 training" in err
    assert "no group and no copies in two folds" in err and "; the first of its 3 networks counts cells" in err
    run = RunDirectory.open(cells / "runs" / "own")
    data = run.read_json("provenance.json")["data"]
    code, _, err = run_command(cells, "--resume own --budget 3")
    assert code == 0, err
    assert run.read_json("provenance.json")["data"] == data
    monkeypatch.chdir(cells)
    assert summarize._load_data(SearchRecords.read(run), run, None).fold_digest == data["folds"]
    assert search.main(["--resume", "own", "--folds", "4"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--data cells --crop 29",
            "no photograph of 90 can be used, such as basophil-0.png (28 x 28 pixels: too small",
        ),
        (
            "--data cells --folds 25",
            "--folds 25, training and validation: class 'basophil' has 24 images; allowed: at least 25",
        ),
        ("--data cells --folds 1", "--folds 1: allowed are 2 and more"),
        ("--data cells --size 4", "--size 4: allowed are 8 to 512 pixels"),
        ("--data cells --without blast", "--without: unknown class 'blast'"),
        ("--data cells --without ig --without basophil", "has one class, 'lymphocyte' (metadata.csv); allowed: two"),
        ("--data empty", "empty: no photograph in this folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    cells: Path, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(cells)
    (cells / "empty").mkdir()
    assert search.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and message in err
    assert not (cells / "runs").exists()


def test_a_dry_run_says_what_was_found(cells: Path) -> None:
    code, out, err = run_command(cells, f"{SEARCH} --data cells --dry-run --without ig")
    assert (code, err) == (0, "")
    assert "data      cells: 42 train, 6 val, 12 test" in out
    assert "          --without ig: 30 photographs left out" in out
    assert "          audit: exact copies: none" in out


def test_a_damaged_list_of_splits_is_refused(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory.create(cells / "runs", "own", "")
    record = {"seed": 0, "data": {"source": str(cells / "cells"), "md5": "0" * 32}}
    (run.path / "provenance.json").write_text(json.dumps(record))
    (run.path / "splits.csv").write_text("nonsense\n")
    monkeypatch.chdir(cells)
    assert search.main(["--resume", "own"]) == 2
