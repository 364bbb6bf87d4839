"""The command `data`: what it shows, what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bloodtune.data.__main__ import main
from bloodtune.data.dataset import load_dataset
from folder_fixtures import CLASSES, class_files, write_labelled, write_photographs

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_labelled(tmp_path / "cells", images=10, header="file_name,label,patient", end=",p{number}")


def test_it_shows_classes_splits_sizes_and_the_audit(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    table = [line.split() for line in out.splitlines()]
    for row in (["class", "train", "val", "test", "all"], ["ig", "7", "1", "2", "10"], ["all", "21", "3", "6", "30"]):
        assert row in table
    for text in (
        "images of 28 x 28 pixels, colour",
        "30 photographs in 3 classes, by metadata.csv; splits drawn 7:1:2 with seed 0, no group and no copies in two",
        "photographs of 28 x 28 pixels",
        "audit: exact copies: none; turned or mirrored copies: none; images with a copy that has another label: none",
        "groups: 10, none of them in two splits",
        "the validation split has 3 images, 1 in its smallest class",
    ):
        assert text in out


def test_it_writes_an_archive_that_is_the_same_data(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--out", "cells.npz"]) == 0
    assert capsys.readouterr().err == "data: cells.npz written\n"
    folder, archive = load_dataset("cells/"), load_dataset("cells.npz")
    assert archive.class_names == CLASSES
    assert archive.audit == folder.audit and archive.audit.group_count == 10
    for name in ("train", "val"):
        for kind in ("images", "labels"):
            found, expected = (getattr(getattr(data, name), kind) for data in (archive, folder))
            np.testing.assert_array_equal(found, expected)


def test_it_writes_a_contact_sheet_with_a_row_per_class(root: Path) -> None:
    assert main(["cells", "--sheet", "sheet.png"]) == 0
    sheet = np.asarray(Image.open("sheet.png").convert("RGB"))
    assert sheet.shape[0] % len(CLASSES) == 0
    height = sheet.shape[0] // len(CLASSES)
    for label in range(len(CLASSES)):  # the class is the brightest channel
        picture = sheet[label * height + 30 : (label + 1) * height - 10, 10:60]
        assert picture.mean(axis=(0, 1)).argmax() == label


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none/"], "none cannot be read: No such file or directory"),
        (["cells", "--out", "cells.txt"], "cells.txt: allowed is a file whose name ends in .npz"),
        (["cells", "--sheet", "no/sheet.png"], "no/sheet.png cannot be written: there is no folder no"),
        (["cells", "--without", "blast"], "unknown class 'blast'"),
        (["cells", "--crop", "29", "--out", "a.npz"], "no photograph of 30 can be used"),
        (["synthetic", "--size", "64"], "--size 64: allowed only with a folder of photographs, and synthetic is none"),
        (["synthetic", "--skip-unreadable"], "--skip-unreadable: allowed only with a folder"),
        (["synthetic", "--without", "a", "--without", "b"], "--without a, b: allowed only with a folder"),
    ],
)
@pytest.mark.usefixtures("standin")
def test_bad_input_is_one_line_and_exit_code_2(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(root.parent.glob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("data: ") and message in err
    assert [file for file in sorted(root.parent.glob("*")) if file.name != "home"] == before


def test_copies_of_other_splits_are_left_out_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"{split}/{name}" for split in ("train", "val", "test") for name in class_files(4)]
    root = write_photographs(tmp_path / "cells", files)
    again = Image.open(root / "test" / "ig" / "0.png").transpose(Image.Transpose.ROTATE_90)
    again.save(root / "train" / "ig" / "copy.png")
    assert main([str(root)]) == 0
    assert "turned or mirrored copies: 1 of test also in train" in capsys.readouterr().out
    assert main([str(root), "--drop-copies"]) == 0
    out = capsys.readouterr().out
    assert "--drop-copies: 1 image of train left out, with a copy in val or test" in out
    assert "turned or mirrored copies: none" in out
