"""The splits as tensors, with statistics that can be computed by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bloodtune.data.npz import Split
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration, make_splits


def split_of(pixels: list[list[int]], labels: list[int]) -> Split:
    """Return one image a row of ``pixels``, of 2 x 2 equal pixels with these channels."""
    images = np.array(pixels, dtype=np.uint8)[:, np.newaxis, np.newaxis, :]
    return Split(np.ascontiguousarray(images.repeat(2, 1).repeat(2, 2)), np.array(labels, dtype=np.int64))


TRAIN = split_of([[0, 10, 200], [255, 10, 100], [0, 10, 0], [255, 10, 100]], [0, 2, 2, 1])
VAL = split_of([[90, 90, 90]], [1])


def test_mean_and_deviation_are_those_of_each_channel() -> None:
    splits = DeviceSplits.load(TRAIN, VAL)
    assert splits.mean.tolist() == [127.5, 10, 100]
    # Of 200, 100, 0, 100 the variance is 5,000; a channel of one value gets 0.001, so that it can be divided by.
    assert splits.deviation.tolist() == pytest.approx([127.5, 0.001, 70.710678])


def test_the_validation_split_changes_no_statistic() -> None:
    one, other = (DeviceSplits.load(TRAIN, split_of([[value] * 3] * 5, [0] * 5)) for value in (0, 255))
    for name in ("mean", "deviation", "class_counts"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_class_counts_are_those_of_the_training_split() -> None:
    counts = DeviceSplits.load(TRAIN, VAL).class_counts
    assert counts.tolist() == [1, 1, 2]


def test_images_and_labels_keep_their_types_and_shapes() -> None:
    splits = DeviceSplits.load(TRAIN, VAL)
    assert (splits.train_images.dtype, splits.train_images.shape) == (torch.uint8, (4, 2, 2, 3))
    assert (splits.train_labels.dtype, splits.train_labels.tolist()) == (torch.int64, [0, 2, 2, 1])
    assert (splits.val_images.shape, splits.val_labels.tolist()) == ((1, 2, 2, 3), [1])


def test_all_tensors_lie_on_the_device_asked_for() -> None:
    splits = DeviceSplits.load(TRAIN, VAL, "meta")
    assert splits.device == torch.device("meta")
    tensors = [getattr(splits, field.name) for field in dataclasses.fields(splits) if field.name != "read"]
    assert {tensor.device for tensor in tensors} == {splits.device}


def test_a_training_starts_to_read_each_batch_before_it_takes_it() -> None:
    read: list[list[int]] = []
    splits = dataclasses.replace(make_splits(), read=read.append)
    Training(make_configuration("mlnn"), splits, max_epochs=1, seed=0).train_epoch()
    assert [len(rows) for rows in read] == [32] * 6
    assert sorted(row for rows in read for row in rows) == list(range(192))


def test_splits_in_memory_are_not_read() -> None:
    assert DeviceSplits.load(TRAIN, VAL).read is None
