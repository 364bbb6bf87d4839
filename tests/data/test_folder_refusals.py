"""Folders of photographs: what is left out of a data set, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bloodtune.data.preparation import Preparation
from error_fixtures import refusal
from folder_fixtures import (
    class_files,
    load,
    refused,
    sizes,
    split_files,
    write_labelled,
    write_photographs,
    write_table,
)

pytestmark = pytest.mark.usefixtures("home")


# What is left out.


def test_a_few_files_are_left_out_and_named_many_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(40))
    (tmp_path / "ig" / "0.png").write_text("no picture")
    said = "photographs that cannot be used: 1 of 120, ig/0.png (not a JPEG, PNG, TIFF, BMP, WebP or GIF picture)"
    data = load(tmp_path)
    assert f"left out, {said}" in data.notes and sum(sizes(data)) == 119
    (tmp_path / "ig" / "1.png").write_text("no picture")
    assert "photographs that cannot be used: 2 of 120, " in refused(tmp_path)
    assert sum(sizes(load(tmp_path, skip_unreadable=True))) == 118


def test_rows_without_a_file_and_files_without_a_row_are_left_out_and_named(tmp_path: Path) -> None:
    write_labelled(tmp_path)
    with (tmp_path / "metadata.csv").open("a") as table:
        table.write("gone.png,ig\n")
    write_photographs(tmp_path, ["extra.png"])
    said = refused(tmp_path)
    assert "rows of metadata.csv without a file: 1 of 19, gone.png; allowed: up to 1 %, or --skip-unreadable" in said
    notes = load(tmp_path, skip_unreadable=True).notes
    assert "left out, rows of metadata.csv without a file: 1 of 19, gone.png" in notes
    assert "left out, photographs without a row in metadata.csv: 1 of 19, extra.png" in notes


def test_photographs_beside_the_class_folders_are_left_out_and_named(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*class_files(), "overview.png"])
    said = "photographs without a class folder: 1 of 19, overview.png"
    assert said in refused(tmp_path)
    assert f"left out, {said}" in load(tmp_path, skip_unreadable=True).notes


def test_files_that_are_no_photographs_are_said(tmp_path: Path) -> None:
    write_labelled(tmp_path / "table")
    write_photographs(tmp_path / "folders", class_files())
    assert not [note for root in ("table", "folders") for note in load(tmp_path / root).notes if "left out" in note]
    for name in ("table", "folders"):
        for file in ("a.txt", "b.txt", "c.csv"):
            (tmp_path / name / file).write_text("hello")
        assert "3 files left out: 2 .txt, 1 .csv" in load(tmp_path / name).notes


# What is refused.


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no photograph in this folder" in refused(tmp_path)
    write_table(tmp_path / "metadata.csv", "file_name,label", [])
    assert "metadata.csv: no row" in refused(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, [file for file in class_files() if "ig" in file])
    assert "has one class, 'ig' (folders of classes); allowed: two or more" in refused(tmp_path)


def test_a_class_of_two_images_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*class_files(), "blast/0.png", "blast/1.png"])
    said = (
        "class 'blast' has 2 images; allowed: at least 3, one image per split; --without 'blast' leaves the class out"
    )
    assert said in refused(tmp_path)


def test_a_class_whose_images_are_copies_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*class_files(), "blast/0.png"])
    for number in (1, 2, 3):
        shutil.copy(tmp_path / "blast" / "0.png", tmp_path / "blast" / f"{number}.png")
    assert "class 'blast' has 4 images in 1 group (copies count as a group)" in refused(tmp_path)


def test_a_group_that_holds_a_whole_class_is_refused(tmp_path: Path) -> None:
    write_labelled(tmp_path, header="file_name,label,group")
    table = tmp_path / "metadata.csv"
    head, *lines = table.read_text().splitlines()
    write_table(table, head, (f"{line},{'one' if 'ig' in line else at}" for at, line in enumerate(lines)))
    said = "class 'ig' has 6 images in 1 group (copies count as a group); allowed: at least 3, one group per split"
    assert said in refused(tmp_path)


def test_groups_that_cannot_be_divided_are_refused(tmp_path: Path) -> None:
    # Each class has three groups, but only two of the groups have both classes.
    rows = [
        f"{label}-{number}.png,{label},{group}"
        for label, groups in (("a", "xyz"), ("b", "xyw"))
        for number, group in enumerate(groups)
    ]
    write_photographs(tmp_path, [row.partition(",")[0] for row in rows])
    write_table(tmp_path / "labels.csv", "file,label,group", rows)
    assert "no draw of train, val, test has every class in every split and no group in two" in refused(tmp_path)


def test_a_split_with_one_class_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*split_files({"train": 4, "test": 1}), "val/ig/0.png"])
    said = (
        "split val with 1 image has none of 2 of 3 classes (basophil, lymphocyte); allowed: every class in every split"
    )
    assert said in refused(tmp_path)


def test_splits_without_training_images_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, split_files({"val": 3, "test": 3}))
    assert "has the splits test, val; allowed: train too, or no splits at all" in refused(tmp_path)


def test_folders_of_classes_beside_those_of_splits_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*split_files({"train": 3, "test": 3}), "other/0.png"])
    assert "has a folder 'other' beside those of splits (test, train)" in refused(tmp_path)


def test_photographs_without_any_class_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, ["a.png", "b.png"])
    assert "no photograph is in a class folder and there is no metadata.csv or labels.csv" in refused(tmp_path)
    write_photographs(tmp_path / "splits", ["train/a.png", "test/b.png"])
    assert "no photograph is below a class folder" in refused(tmp_path / "splits")


def test_a_folder_of_unreadable_files_is_refused(tmp_path: Path) -> None:
    for name in class_files(33):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    said = "no photograph of 99 can be used, such as basophil/0.png (not a JPEG"
    assert said in refused(tmp_path) and said in refused(tmp_path, skip_unreadable=True)


def test_photographs_that_need_a_crop_say_so(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(), size=60)
    said = refused(tmp_path)
    assert "(60 x 60 pixels; allowed: " in said and "any size with --crop); use --crop 60 (fits all of them)" in said


def test_photographs_smaller_than_the_crop_are_refused_with_a_crop_that_fits(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(4), size=60)
    write_photographs(tmp_path, class_files(1), size=50)
    said = refused(tmp_path, crop=55)
    assert "3 of 12, basophil/0.png (50 x 50 pixels: too small for a crop of 55 x 55)" in said
    assert "allowed: up to 1 %, --crop 50 (fits all of them), or --skip-unreadable" in said
    (tmp_path / "ig" / "1.png").write_text("no picture")
    assert "allowed: up to 1 %, or --skip-unreadable" in refused(tmp_path, crop=50)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 7}, "--size 7: allowed are 8 to 512 pixels"),
        ({"size": 513}, "--size 513: allowed are 8 to 512 pixels"),
        ({"crop": 3}, "--crop 3: allowed are 8 pixels and more"),
    ],
)
def test_a_preparation_out_of_range_is_refused(fields: dict[str, int], message: str) -> None:
    assert refusal(lambda: Preparation(**fields)) == message  # type: ignore[arg-type]
