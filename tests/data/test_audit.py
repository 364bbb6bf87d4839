"""The audit: copies in eight views, contradicting labels, shared groups, and the error of a score."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

from bloodtune.data.audit import (
    Audit,
    audit,
    find_copies,
    identify,
    small_split_note,
    standard_error,
)
from bloodtune.data.npz import Split


def make_splits(images: int = 6, channels: int = 3) -> dict[str, Split]:
    generator = np.random.default_rng(0)
    shape = (images, 8, 8, channels)
    labels = np.arange(images) % 3
    return {
        n: Split(generator.integers(0, 256, shape, dtype=np.uint8), labels.copy()) for n in ("train", "val", "test")
    }


def make_audit(splits: dict[str, Split], groups: Mapping[str, np.ndarray] = MappingProxyType({})) -> Audit:
    return audit(splits, groups, find_copies(splits))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_an_image_is_found_again_in_each_of_eight_views(channels: int, mirrored: bool, turns: int) -> None:
    splits = make_splits(channels=channels)
    view = np.rot90(splits["train"].images[2], turns)
    splits["test"].images[4] = view[:, ::-1] if mirrored else view
    found = make_audit(splits)
    is_exact = turns == 0 and not mirrored
    assert found.copies["train_test"] == int(is_exact)
    assert found.turned is not None and found.turned["train_test"] == int(not is_exact)


def test_images_of_equal_sums_are_no_copies() -> None:
    image = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    shuffled = image.reshape(1, 64, 3)[:, np.random.default_rng(0).permutation(64)].reshape(image.shape)
    exact, turned = identify([image, shuffled])
    assert len(set(exact.tolist())) == len(set(turned.tolist())) == 2


def test_copies_with_another_label_are_counted() -> None:
    splits = make_splits()
    splits["val"].images[1] = splits["train"].images[0]  # labels 1 and 0
    splits["val"].images[3] = splits["train"].images[3]  # the same label
    splits["test"].images[2] = splits["test"].images[0][::-1]  # labels 2 and 0
    found = make_audit(splits)
    assert found.conflicts == 4
    assert "images with a copy that has another label: 4" in found.sentences()


def test_groups_in_two_splits_are_counted_and_images_without_a_group_are_not() -> None:
    names = {
        "train": np.array([*list("aabbc"), ""]),
        "val": np.array([*list("cdddd"), ""]),
        "test": np.array(list("eeeeee")),
    }
    found = make_audit(make_splits(), names)
    assert (found.group_count, found.groups) == (5, {"train_val": 1, "train_test": 0, "val_test": 0})
    assert found.sentences()[-1] == "groups: 5, 1 in train and val"
    assert not any(line.startswith("groups") for line in make_audit(make_splits()).sentences())


def test_an_audit_says_what_it_found_and_what_it_did_not_find() -> None:
    assert make_audit(make_splits()).sentences() == [
        "exact copies: none",
        "turned or mirrored copies: none",
        "images with a copy that has another label: none",
    ]
    older = {"train": 1, "val": 0, "test": 0, "train_val": 0, "train_test": 2, "val_test": 0}
    assert Audit.from_mapping(older).sentences() == ["exact copies: 1 within train, 2 of test also in train"]


def test_the_standard_error_is_that_of_simulated_scores() -> None:
    counts = (40, 100, 15)
    generator = np.random.default_rng(0)
    scores = np.mean([generator.binomial(n, 0.9, 20_000) / n for n in counts], axis=0)
    assert standard_error(0.9, counts) == pytest.approx(scores.std(), rel=0.02)


def test_a_small_validation_split_is_said_and_a_large_one_is_not() -> None:
    official = (122, 312, 155, 290, 122, 143, 333, 235)
    assert small_split_note(official) == ""
    assert standard_error(0.975, official) == pytest.approx(0.004, abs=0.0005)
    said = small_split_note((5, 20, 9))
    assert said.startswith("the validation split has 34 images, 5 in its smallest class: a macro-F1 of 0.95 has a ")
    assert "standard error of about 0.044" in said
