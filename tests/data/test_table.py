"""Tables of photographs that contradict themselves or name files that are elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bloodtune.data.table import Row, read_table, split_of
from error_fixtures import refusal
from folder_fixtures import write_photographs, write_table

FILES = ["a.png", "b.png", "c/d.png"]


def read(folder: Path, header: str, *rows: str) -> tuple[Row, ...]:
    return read_table(write_table(folder / "labels.csv", header, rows), FILES).rows


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("name,label", ["a.png,x"], "has the columns name, label; needed: one of file_name, file, image, path"),
        ("file,kind", ["a.png,x"], "has the columns file, kind; needed: one of label, class"),
        ("", [], "has the columns none; needed: "),
        ("file,label", ["a.png,3", "b.png,x"], "has the labels '3' in line 2 and 'x' in line 3; allowed: only numbers"),
        ("file,label", ["a.png,x", "a.png,y"], "line 3 contradicts an earlier row of a.png; allowed: one row per file"),
        ("file,label,group", ["a.png,x,1", "a.png,x,2"], "line 3 contradicts an earlier row of a.png"),
        ("file,label", ["a.png,x", "b.png,"], "line 3 has no label; allowed: one in each row"),
        ("file,label", ["a.png,x", "b.png"], "line 3 has no label"),
        ("file,label", [",x"], "line 2 has no file"),
        (
            "file,label,split",
            ["a.png,x,train", "b.png,x,holdout"],
            "b.png has split 'holdout'; allowed: train, training",
        ),
        ("file,label,split", ["a.png,x,train", "b.png,x,"], "b.png has split ''; allowed: train, training"),
        ("file,label,class", ["a.png,1,x", "b.png,1,y"], "label '1' has class 'x' in one row and 'y' in line 3"),
        ("file,label", ["other/a.png,x"], "none of its first 1 files exists, such as 'other/a.png'; allowed: paths"),
        ("file,label", [], "no row; allowed: paths relative to"),
    ],
)
def test_a_table_is_refused(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    found = refusal(lambda: read(tmp_path, header, *rows))
    assert found.startswith(str(tmp_path / "labels.csv"))
    assert message in found


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,label\na.png,Bösartig\n".encode("latin-1"))
    assert "cannot be read: " in refusal(lambda: read_table(tmp_path / "labels.csv", FILES))
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\0\xff")
    assert "allowed: CSV in UTF-8" in refusal(lambda: read_table(tmp_path / "labels.csv", FILES))


def test_a_long_table_without_any_file_is_refused_before_its_end(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    with table.open("w") as stream:
        stream.write("file,label\n")
        stream.writelines(f"there/{number}.png,x\n" for number in range(400_000))
    started = time.process_time()
    assert "none of its first 100,000 files exists" in refusal(lambda: read_table(table, FILES))
    assert time.process_time() - started < 5  # 10 million rows take no longer


def test_paths_may_be_written_in_other_ways_and_lead_outside(tmp_path: Path) -> None:
    write_photographs(tmp_path, ["elsewhere/e.png"])
    rows = read(tmp_path / "set", "path,label", "./a.png,x", "c\\d.png,x", "../elsewhere/e.png,y")
    assert [row.file for row in rows] == ["../elsewhere/e.png", "a.png", "c/d.png"]


def test_rows_that_repeat_are_counted_once_and_said(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path / "labels.csv", "file,label", ["a.png,x", "a.png,x", "b.png,x"]), FILES)
    assert len(table.rows) == 2
    assert table.notes == ("rows that repeat a file: 1",)


def test_labels_are_in_the_order_of_numbers_or_words(tmp_path: Path) -> None:
    def names(*rows: str, header: str = "file,label") -> tuple[str, ...]:
        return read_table(write_table(tmp_path / "labels.csv", header, rows), FILES).class_names

    assert names("a.png,10", "b.png,9", "c/d.png,9") == ("9", "10")
    assert names("a.png,y", "b.png,x") == ("x", "y")
    assert names("a.png,10,x", "b.png,9,y", header="file,label,class") == ("y", "x")
    assert names("a.png,x,1", "b.png,y,1", header="file,label,class") == ("x", "y")


@pytest.mark.parametrize(
    ("split", "names"),
    [("train", "train training TRAIN"), ("val", "val valid validation dev"), ("test", "test testing eval evaluation")],
)
def test_splits_have_their_usual_names(split: str, names: str) -> None:
    assert {split_of(name) for name in names.split()} == {split}
    assert split_of("holdout") == ""
