"""The folder of corrections: what it holds, that it stays whole, and what it refuses."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bloodtune.data.folder_listing import list_folder
from bloodtune.errors import InputError
from bloodtune.inference.corrections import Corrections, enough, lacking
from model_fixtures import SIZE, draw_tiles

SHAPE = (SIZE, SIZE)


def png(tile: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(tile).save(stream, kind)
    return stream.getvalue()


def test_a_picture_is_stored_once_with_its_last_class(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path / "new" / "folder")
    first, second = map(png, draw_tiles(2))
    assert corrections.add(first, "monocyte", SHAPE) == 1
    assert corrections.add(first, "platelet", SHAPE) == 1
    assert corrections.add(second, "monocyte", SHAPE) == 2
    listing = list_folder(corrections.folder)
    assert sorted(row.label for row in listing.rows) == ["monocyte", "platelet"]
    assert (listing.missing, listing.unlabelled, listing.layout) == ((), (), "metadata.csv")
    assert sorted(file.suffix for file in corrections.folder.iterdir()) == [".csv", ".png", ".png"]


def test_the_pixels_are_those_that_the_network_saw(tmp_path: Path) -> None:
    (tile,) = draw_tiles(1)
    corrections = Corrections(tmp_path)
    corrections.add(png(tile), "monocyte", SHAPE)
    (name,) = corrections.labels()
    assert np.array_equal(np.asarray(Image.open(tmp_path / name)), tile)


def test_another_server_reads_what_is_there(tmp_path: Path) -> None:
    Corrections(tmp_path).add(png(draw_tiles(1)[0]), "monocyte", SHAPE)
    again = Corrections(tmp_path)
    again.add(png(draw_tiles(1, seed=1)[0]), "platelet", SHAPE)
    assert sorted(again.labels().values()) == ["monocyte", "platelet"]


@pytest.mark.parametrize("label", ["../../etc/passwd", '=1+1,"x"', "mono\ncyte", "<b>ü</b>"])
def test_a_strange_class_stays_in_its_cell(tmp_path: Path, label: str) -> None:
    corrections = Corrections(tmp_path / "inner")
    corrections.add(png(draw_tiles(1)[0]), label, SHAPE)
    assert list(corrections.labels().values()) == [label]
    with (tmp_path / "inner" / "metadata.csv").open(newline="") as stream:
        assert [row[1] for row in csv.reader(stream)] == ["label", label]
    assert [file.name for file in tmp_path.iterdir()] == ["inner"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "no PNG picture"),
        (png(draw_tiles(1)[0])[:80], "no PNG picture"),
        (png(draw_tiles(1)[0], "BMP"), "no PNG picture"),
        (png(np.zeros((9, 28, 3), np.uint8)), "a picture of"),
        (png(np.zeros((28, 28, 4), np.uint8)), "RGBA; allowed"),
    ],
)
def test_what_is_no_input_of_the_network_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Corrections(tmp_path).add(content, "monocyte", SHAPE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photo.jpg", "x", "has files but no metadata.csv; allowed: a new or empty folder"),
        ("metadata.csv", "file,class\na.jpg,b\n", "is no table of corrections"),
        ("metadata.csv", "file_name,label,patient\na.jpg,b,c\n", "is no table of corrections"),
        ("metadata.csv", "file_name,label\na.jpg\n", "is no table of corrections"),
        ("metadata.csv", "", "is no table of corrections"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        Corrections(tmp_path)
    assert (tmp_path / name).read_text() == content


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = Corrections(tmp_path)
    corrections.add(png(draw_tiles(1)[0]), "monocyte", SHAPE)
    before = (tmp_path / "metadata.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        corrections.add(png(draw_tiles(1, seed=1)[0]), "platelet", SHAPE)
    assert (tmp_path / "metadata.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_lacking_to_learn_is_said() -> None:
    labels = {f"{number}.png": "ab"[number % 2] for number in range(10)}
    assert lacking(labels) == ""
    needs = "learning needs 10 of those, in two or more classes"
    assert lacking({}) == f"0 pictures stored; {needs}"
    assert lacking(dict.fromkeys(labels, "a")) == f"10 pictures stored; {needs}"
    assert enough(labels | {"x.png": "rare"}) == labels
    del labels["0.png"]
    assert lacking(labels | {"x.png": "rare"}) == f"10 pictures stored, 9 of them of classes with 2 or more; {needs}"
