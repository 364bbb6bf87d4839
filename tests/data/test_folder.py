"""Folders of photographs as data sets: layouts, splits, what is left out, and what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.partition import write_splits
from bloodtune.data.preparation import Preparation
from error_fixtures import refusal
from folder_fixtures import CLASSES, class_files, split_files, write_labelled, write_photographs, write_table

REAL = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.usefixtures("home")


def load(root: Path, **fields: object) -> Dataset:
    return load_dataset(str(root), Preparation(**fields))  # type: ignore[arg-type]


def refused(root: Path, **fields: object) -> str:
    def files() -> list[Path]:  # but for the cache of tiles in the home folder
        return sorted(file for file in root.rglob("*") if "home" not in file.parts)

    before = files()
    message = refusal(lambda: load(root, **fields))
    assert files() == before, "nothing is written"
    return message


def sizes(data: Dataset) -> tuple[int, ...]:
    return tuple(data.split_sizes.values())


# Layouts: each with 18 photographs of three classes, unless it says otherwise.


def in_classes(root: Path) -> None:
    write_photographs(root, class_files())


def in_classes_below(root: Path) -> None:
    write_photographs(root, class_files(between="slide 1/day/"))


def in_splits(root: Path) -> None:
    write_photographs(root, split_files({"train": 4, "val": 1, "test": 1}))


def in_other_splits(root: Path) -> None:
    write_photographs(root, split_files({"Training": 4, "dev": 1, "evaluation": 1}))


def in_two_splits(root: Path) -> None:
    write_photographs(root, split_files({"train": 4, "test": 2}))


def in_one_split(root: Path) -> None:
    write_photographs(root, split_files({"train": 6}))


def in_a_table(root: Path) -> None:
    write_labelled(root)


def in_a_table_of_excel(root: Path) -> None:
    write_photographs(root, class_files())
    rows = (f"{file.replace('/', chr(92))};{file.partition('/')[0]}" for file in class_files())
    text = "\n".join(["\ufeffimage;class", *rows])
    (root / "labels.csv").write_text(text, encoding="utf-8")


def in_a_table_with_splits(root: Path) -> None:
    write_labelled(root, header="file_name,label,split")
    lines = (root / "metadata.csv").read_text().splitlines()
    ends = ("training", "training", "training", "training", "valid", "eval")
    rows = (f"{line},{ends[at % 6]}" for at, line in enumerate(lines[1:]))
    write_table(root / "metadata.csv", lines[0], rows)


def in_a_table_with_patients(root: Path) -> None:
    write_labelled(root, header="File_Name,Label,patient_id", end=",p{number}")


def in_a_table_with_numbers_and_names(root: Path) -> None:
    write_photographs(root, class_files())
    rows = (f"{f},{10 - CLASSES.index(f.split('/')[0])},{f.split('/')[0]},test" for f in class_files())
    write_table(root / "labels.csv", "path,label,class,split", rows)


def in_a_table_over_class_folders(root: Path) -> None:
    write_photographs(root, class_files(before="train/"))
    rows = (f"{file},{'sick' if 'ig' in file else 'well'}" for file in class_files(before="train/"))
    write_table(root / "metadata.csv", "file,label", rows)


@pytest.mark.parametrize(
    ("write", "names", "expected", "said"),
    [
        (in_classes, CLASSES, (12, 3, 3), "18 photographs in 3 classes, by folders of classes; splits drawn 7:1:2"),
        (in_classes_below, CLASSES, (12, 3, 3), "by folders of classes; splits drawn 7:1:2 with seed 0"),
        (in_splits, CLASSES, (12, 3, 3), "by folders of splits and classes; splits as given"),
        (in_other_splits, CLASSES, (12, 3, 3), "by folders of splits and classes; splits as given"),
        (in_two_splits, CLASSES, (9, 3, 6), "val drawn from train"),
        (in_one_split, CLASSES, (12, 3, 3), "val and test drawn from train"),
        (in_a_table, CLASSES, (12, 3, 3), "by metadata.csv; splits drawn"),
        (in_a_table_of_excel, CLASSES, (12, 3, 3), "by labels.csv; splits drawn"),
        (in_a_table_with_splits, CLASSES, (12, 3, 3), "by metadata.csv; splits as given"),
        (in_a_table_with_patients, CLASSES, (12, 3, 3), "no group and no copies in two"),
        (in_a_table_with_numbers_and_names, CLASSES[::-1], (12, 3, 3), "every row has split test, so it is not used"),
        (in_a_table_over_class_folders, ("sick", "well"), (12, 2, 4), "in 2 classes, by metadata.csv"),
    ],
)
def test_a_layout_is_found(
    tmp_path: Path, write: Callable[[Path], None], names: tuple[str, ...], expected: tuple[int, ...], said: str
) -> None:
    root = tmp_path / "cells"
    write(root)
    data = load(root)
    assert (data.title, data.source, data.class_names) == ("cells", str(root), names)
    assert said in "; ".join(data.notes)
    assert sum(sizes(data)) == 18 and sizes(data) == expected
    assert data.train.images.shape[1:] == (28, 28, 3)
    assert len(load_test_split(data.source, data.md5, data.preparation).labels) == data.split_sizes["test"]
    assert {row.split for row in data.rows} == {"train", "val", "test"}


def test_images_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    data = load(write_photographs(tmp_path, class_files()))
    rows = [row for row in data.rows if row.split == "train"]
    assert [data.class_names[label] for label in data.train.labels] == [row.label for row in rows]
    # The class is the brightest channel of the pictures, which are taken as they are.
    assert np.array_equal(data.train.images.mean(axis=(1, 2)).argmax(1), data.train.labels)


def test_no_group_is_in_two_splits(tmp_path: Path) -> None:
    data = load(write_labelled(tmp_path, images=40, header="file_name,label,patient", end=",p{number}"))
    splits: dict[str, set[str]] = {}
    for row in data.rows:
        splits.setdefault(row.group, set()).add(row.split)
    assert len(splits) == 40
    assert Counter(len(found) for found in splits.values()) == {1: 40}
    assert sizes(data) == (84, 12, 24)
    assert data.audit.sentences()[-1] == "groups: 40, none of them in two splits"


def test_copies_are_drawn_into_one_split(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(10))
    for label in CLASSES:
        for number in range(5):
            shutil.copy(tmp_path / label / f"{number}.png", tmp_path / label / f"again-{number}.png")
    audit = load(tmp_path).audit
    assert sum(count for name, count in audit.copies.items() if "_" not in name) == 15
    assert sum(count for name, count in audit.copies.items() if "_" in name) == 0


def test_groups_that_the_given_splits_share_are_said(tmp_path: Path) -> None:
    in_a_table_with_splits(tmp_path)
    table = tmp_path / "metadata.csv"
    head, *lines = table.read_text().splitlines()
    write_table(table, f"{head},slide", (f"{line},{'abcdef'[at % 5]}" for at, line in enumerate(lines)))
    said = load(tmp_path).audit.sentences()[-1]
    assert said == "groups: 5, 3 in train and val, 3 in train and test, 2 in val and test"


def test_the_seed_decides_about_the_draw(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(20))
    first, again, other = load(tmp_path), load(tmp_path), load(tmp_path, seed=1)
    assert first.rows == again.rows and first.md5 == again.md5
    assert first.rows != other.rows and first.md5 != other.md5


def test_recorded_splits_are_read_and_a_changed_folder_is_refused(tmp_path: Path) -> None:
    root = write_photographs(tmp_path / "cells", class_files(10))
    first = load(root, seed=3)
    write_splits(tmp_path / "splits.csv", first.rows)
    again = load(root, splits=str(tmp_path / "splits.csv"))
    assert again.md5 == first.md5 and np.array_equal(again.val.images, first.val.images)
    assert load_test_split(str(root), first.md5, again.preparation).labels.tolist()
    write_photographs(root, ["ig/new.png"])
    assert "1 new photograph, 0 gone, such as ig/new.png; restore" in refused(root, splits=str(tmp_path / "splits.csv"))
    (tmp_path / "splits.csv").write_text("file,split\n")
    assert "splits.csv is damaged" in refused(root, splits=str(tmp_path / "splits.csv"))


def test_size_and_crop_prepare_the_photographs(tmp_path: Path) -> None:
    write_photographs(tmp_path, class_files(), size=60)
    assert load(tmp_path, crop=40).train.images.shape[1:] == (28, 28, 3)
    data = load(tmp_path, crop=40, size=64)
    assert data.train.images.shape[1:] == (64, 64, 3)
    assert "photographs of 60 x 60 pixels" in data.notes
    assert data.md5 != load(tmp_path, crop=41, size=64).md5


def test_a_folder_that_moved_is_the_same_data(tmp_path: Path) -> None:
    root = write_photographs(tmp_path / "a", class_files())
    before = load(root)
    after = load(root.rename(tmp_path / "b"))
    assert (before.md5, before.title, after.title) == (after.md5, "a", "b")


def test_classes_can_be_left_out(tmp_path: Path) -> None:
    write_photographs(tmp_path, [*class_files(), "blast/0.png"])
    data = load(tmp_path, without=("blast",))
    assert data.class_names == CLASSES
    assert "--without blast: 1 photograph left out" in data.notes
    assert "--without: unknown class 'blasts'; did you mean 'blast'?" in refused(tmp_path, without=("blasts",))


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
    assert "(60 x 60 pixels; allowed: " in refused(tmp_path) and "any size with --crop)" in refused(tmp_path)


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


# Real photographs.


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is absent")
def test_a_sample_of_smear_crops_is_a_data_set_as_it_is() -> None:
    data = load(REAL / "pbc_sample")
    assert data.class_names[3] == "ig" and sum(sizes(data)) == 128
    assert "every row has split test, so it is not used" in data.notes


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is absent")
def test_the_cells_of_another_laboratory_need_a_crop_and_no_single_basophil() -> None:
    root = REAL / "labs" / "cells_tecom"
    assert "any size with --crop" in refused(root)
    assert "class 'basophil' has 1 image; allowed: at least 3" in refused(root, crop=100)
    data = load(root, crop=100, without=("basophil",))
    assert sum(sizes(data)) == 297 and data.audit.copies["train_test"] == 0
    assert any("106.png (88 x 88 pixels: too small for a crop of 100 x 100)" in note for note in data.notes)
