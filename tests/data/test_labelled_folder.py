"""Labelled photographs to adapt a model to: all of them are used, folds need only two images of a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bloodtune.data.labelled_folder import LabelledFolder, read_labelled_folder
from bloodtune.data.preparation import Preparation
from error_fixtures import refusal
from folder_fixtures import CLASSES, class_files, split_files, write_labelled, write_photographs


def read(root: Path, **fields: object) -> LabelledFolder:
    return read_labelled_folder(root, Preparation(**fields))  # type: ignore[arg-type]


def test_all_photographs_are_training_images_if_there_are_no_splits(tmp_path: Path) -> None:
    found = read(write_photographs(tmp_path, class_files(6)))
    assert found.dataset.split_sizes == {"train": 18, "val": 0, "test": 0}
    assert (found.dataset.class_names, found.test) == (CLASSES, None)
    assert "18 labelled photographs in 3 classes" in found.dataset.notes[0]


def test_a_table_can_be_given_itself(tmp_path: Path) -> None:
    folder = read(write_labelled(tmp_path / "cells"))
    table = read(tmp_path / "cells" / "metadata.csv")
    assert table.dataset.title == folder.dataset.title == "cells"
    assert np.array_equal(table.dataset.train.images, folder.dataset.train.images)


def test_a_test_split_is_kept_apart(tmp_path: Path) -> None:
    found = read(write_photographs(tmp_path, split_files({"train": 4, "val": 2, "test": 3})))
    assert found.dataset.split_sizes == {"train": 18, "val": 0, "test": 9}
    assert found.test is not None
    assert len(found.test.labels) == 9


def test_a_class_with_two_photographs_is_never_held_out_as_a_whole(tmp_path: Path) -> None:
    few = [name for name in class_files(8) if not name.startswith("ig") or int(name[3]) < 2]
    found = read(write_photographs(tmp_path, few))
    assert found.dataset.preparation.folds == 5
    for seed in range(10):
        folds = found.folds(seed)
        assert len(set(folds[found.dataset.train.labels == CLASSES.index("ig")])) == 2
        assert set(folds) == set(range(5))
    assert not np.array_equal(found.folds(0), found.folds(1))


def test_a_class_with_one_photograph_is_refused(tmp_path: Path) -> None:
    few = [name for name in class_files(4) if not name.startswith("ig") or name[3] == "0"]
    message = refusal(lambda: read(write_photographs(tmp_path, few)))
    assert "class 'ig' has 1 image; allowed: at least 2" in message
    assert "--without 'ig' leaves the class out" in message


def test_groups_stay_together_and_limit_the_number_of_folds(tmp_path: Path) -> None:
    found = read(write_labelled(tmp_path, header="file_name,label,group", end=",{number}"))
    assert found.dataset.preparation.folds == 5
    for group in set(found.groups):
        assert len(set(found.folds(3)[found.groups == group])) == 1


def test_a_folder_with_a_test_split_alone_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, split_files({"test": 4}))
    assert "has only a test split" in refusal(lambda: read(tmp_path))
