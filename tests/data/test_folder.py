"""Folders of photographs as data sets: layouts, splits, and how they are prepared."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data.dataset import load_test_split
from bloodtune.data.partition import write_splits
from folder_fixtures import (
    CLASSES,
    class_files,
    load,
    refused,
    sizes,
    split_files,
    write_labelled,
    write_photographs,
    write_table,
)

REAL = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.usefixtures("home")


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


def test_copies_are_drawn_into_one_split_beside_a_given_one(tmp_path: Path) -> None:
    # The first copy of the images 0 to 4 of training is in the test split, which is not drawn.
    write_photographs(tmp_path, split_files({"train": 20, "test": 6}))
    for file in (f"{label}/{number}.png" for label in CLASSES for number in range(5)):
        for end in ("a.png", "b.png"):
            shutil.copy(tmp_path / "test" / file, tmp_path / "train" / f"{file}{end}")
    data = load(tmp_path)
    assert data.audit.copies["train_val"] == 0 and sizes(data) == (78, 12, 18)
    assert data.audit.copies["train_test"] + data.audit.copies["val_test"] == 15


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
    told = (
        "splits.csv differ: 1 photograph in the folder alone, 0 in the file alone, such as ig/new.png; restore the one"
    )
    assert told in refused(root, splits=str(tmp_path / "splits.csv"))
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
