"""Folds: no group and no copy in two, every class in each, the same from the same seed, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.folds import cut_splits, fold_images, held_out_split, join_splits, scored_counts
from bloodtune.data.npz import Split
from bloodtune.data.preparation import Preparation
from bloodtune.run.provenance import describe_data
from data_fixtures import make_arrays, save
from engine_fixtures import make_split
from error_fixtures import refusal
from folder_fixtures import write_labelled

NAMES = ("a", "b", "c")


def draw(train: Split, val: Split, groups: list[str] | None = None, *, folds: int = 4, seed: int = 0) -> np.ndarray:
    """Draw folds; ``groups`` are those of the training images, then of the validation images."""
    cut = len(train.labels)
    named = {"train": np.array(groups[:cut]), "val": np.array(groups[cut:])} if groups else {}
    return fold_images({"train": train, "val": val}, named, NAMES, folds=folds, seed=seed)


def with_folds(path: Path, folds: int = 3) -> Dataset:
    return load_dataset(str(path), Preparation(folds=folds))


def test_no_group_is_in_two_folds_and_every_fold_has_every_class() -> None:
    train, val = make_split(96), make_split(24, seed=1)
    labels = np.concatenate([train.labels, val.labels])
    # Groups of three classes and of both splits; the last ten images have none.
    groups = [f"patient {number % 11}" if number < 110 else "" for number in range(120)]
    folds = draw(train, val, groups)
    for patient in set(groups) - {""}:
        assert len(set(folds[np.array(groups) == patient])) == 1
    assert len(set(folds[110:])) > 1, "images without a group are free"
    for fold in range(4):
        assert set(labels[folds == fold]) == {0, 1, 2}


def test_images_without_groups_are_stratified() -> None:
    train, val = make_split(84), make_split(36, seed=1)
    folds, labels = draw(train, val), np.concatenate([train.labels, val.labels])
    counts = [np.bincount(labels[folds == fold]).tolist() for fold in range(4)]
    assert counts == [[10, 10, 10]] * 4


def test_copies_are_in_one_fold_also_turned_ones_and_those_of_the_other_split() -> None:
    train, val = make_split(60), make_split(24, seed=1)
    val.images[:10] = np.rot90(train.images[:10], axes=(1, 2))
    val.labels[:10] = train.labels[:10]
    folds = draw(train, val)
    assert folds[:10].tolist() == folds[60:70].tolist()


def test_the_seed_decides_about_the_folds() -> None:
    splits = make_split(60), make_split(24, seed=1)
    assert draw(*splits, seed=5).tolist() == draw(*splits, seed=5).tolist()
    assert draw(*splits, seed=5).tolist() != draw(*splits, seed=6).tolist()


def test_each_image_is_held_out_once_and_trained_on_by_all_other_networks() -> None:
    train, val = make_split(60), make_split(24, seed=1)
    folds, whole = draw(train, val), join_splits(train, val)
    pairs = cut_splits(train, val, folds)
    assert len(pairs) == 4
    for fold, (trained, held_out) in enumerate(pairs):
        np.testing.assert_array_equal(held_out.images, whole.images[folds == fold])
        np.testing.assert_array_equal(trained.images, whole.images[folds != fold])
        np.testing.assert_array_equal(trained.labels, whole.labels[folds != fold])
    all_held_out = held_out_split(train, val, folds)
    np.testing.assert_array_equal(all_held_out.images, np.concatenate([held_out.images for _, held_out in pairs]))
    np.testing.assert_array_equal(all_held_out.labels, np.concatenate([held_out.labels for _, held_out in pairs]))


def test_without_folds_the_splits_are_as_they_are() -> None:
    train, val = make_split(12), make_split(6)
    assert cut_splits(train, val, None) == [(train, val)]
    assert held_out_split(train, val, None) is val
    counts = {"train": (7, 5), "val": (2, 1), "test": (9, 9)}
    assert scored_counts(counts, None) == (2, 1)
    assert scored_counts(counts, 3) == (9, 6)


# What is refused


def test_more_folds_than_the_rarest_class_has_images_are_refused() -> None:
    train, val = make_split(12), make_split(6)
    message = refusal(lambda: draw(train, val, folds=7))
    assert message.endswith("class 'a' has 6 images; allowed: at least 7, one image per fold; use fewer folds")
    assert message.startswith("--folds 7, training and validation: ")


def test_a_group_that_holds_a_whole_class_is_refused() -> None:
    train, val = make_split(30), make_split(12, seed=1)
    labels = np.concatenate([train.labels, val.labels]).tolist()
    groups = ["one" if label == 1 else str(number) for number, label in enumerate(labels)]
    said = "class 'b' has 14 images in 1 group (copies count as a group); allowed: at least 3, one group per fold; "
    assert said + "--without 'b' leaves the class out" in refusal(lambda: draw(train, val, groups, folds=3))


def test_a_class_that_would_be_missing_in_a_fold_is_refused() -> None:
    # Each class has three groups, but only two of the four groups have both classes.
    labels = np.array([0, 0, 0, 1, 1, 1])
    groups, images = list("xyzxyw"), make_split(6).images
    split = Split(images[:4], labels[:4]), Split(images[4:], labels[4:])
    named = {"train": np.array(groups[:4]), "val": np.array(groups[4:])}
    splits = dict(zip(("train", "val"), split, strict=True))
    message = refusal(lambda: fold_images(splits, named, "ab", folds=3, seed=0))
    assert "no draw has every class in every fold and no group in two; allowed: fewer folds, or more" in message


def test_folds_of_another_draw_than_the_runs_are_refused(tmp_path: Path) -> None:
    dataset = with_folds(save(tmp_path / "cells.npz", make_arrays()))
    known = describe_data(dataset)
    dataset.check_folds(known)
    assert dataset.folds is not None
    other = dataclasses.replace(dataset, folds=np.roll(dataset.folds, 1))
    assert "the folds differ from those of the run" in refusal(lambda: other.check_folds(known))
    without = load_dataset(dataset.source)
    without.check_folds({})  # an older run
    assert "the folds differ" in refusal(lambda: without.check_folds(known))


# The data set


def test_a_data_set_with_folds_says_so_and_scores_all_of_its_images(tmp_path: Path) -> None:
    dataset = with_folds(save(tmp_path / "cells.npz", make_arrays()))
    assert dataset.scored_counts == (8, 8, 8)
    assert dataset.training_sizes == [16, 16, 16]
    findings = dataset.findings()
    assert findings[0].startswith("--folds 3: the objective is the macro-F1 of the held-out predictions of 24 training")
    assert findings[0].endswith("images, 8 per fold; no copies in two folds")
    assert findings[-1].startswith("the 3 folds have 24 images, 8 in their smallest class: a macro-F1 of 0.95 has a")


def test_folds_of_a_folder_are_those_of_its_groups(tmp_path: Path) -> None:
    write_labelled(tmp_path / "cells", images=20, header="file_name,label,patient", end=",p{number}")
    dataset = with_folds(tmp_path / "cells")
    patients = np.concatenate([dataset.groups["train"], dataset.groups["val"]])
    assert dataset.folds is not None and len(set(patients)) == 16
    assert all(len(set(dataset.folds[patients == patient])) == 1 for patient in patients)
    assert any(note.endswith("no group and no copies in two folds") for note in dataset.notes)


def test_one_fold_is_refused() -> None:
    assert refusal(lambda: Preparation(folds=1)) == "--folds 1: allowed are 2 and more"


@pytest.mark.parametrize("folds", [None, 3])
def test_provenance_has_a_digest_of_the_folds_and_no_entry_per_image(tmp_path: Path, folds: int | None) -> None:
    path = save(tmp_path / "cells.npz", make_arrays())
    described = describe_data(load_dataset(str(path), Preparation(folds=folds)))
    assert described["preparation"]["folds"] == folds
    assert (described["folds"] is None) == (folds is None)
    assert folds is None or len(described["folds"]) == 32
