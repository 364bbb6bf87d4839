"""The splits as tensors, with statistics that can be computed by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from bloodtune.data.npz import Split
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration, make_split, make_splits
from training_fixtures import records_of


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


@pytest.mark.parametrize("channels", [1, 3])
def test_splits_carry_the_statistics_of_the_training_pixels(channels: int) -> None:
    train_split = make_split(1100, channels=channels, size=6)
    val_split = make_split(9, channels=channels, size=6, seed=5)
    splits = DeviceSplits.load(train_split, val_split)
    pixels = train_split.images.astype(np.float64)
    np.testing.assert_allclose(splits.mean, pixels.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(splits.deviation, pixels.std((0, 1, 2)), rtol=1e-5)
    assert splits.mean.dtype == splits.deviation.dtype == torch.float32
    assert splits.class_counts.tolist() == np.bincount(train_split.labels).tolist()
    np.testing.assert_array_equal(splits.val_images, val_split.images)
    np.testing.assert_array_equal(splits.val_labels, val_split.labels)


def test_splits_on_the_cpu_share_their_arrays_also_read_only_ones() -> None:
    split = make_split(12)
    split.images.flags.writeable = split.labels.flags.writeable = False
    splits = DeviceSplits.load(split, split)
    assert splits.train_images.data_ptr() == split.images.__array_interface__["data"][0]
    assert splits.device == torch.device("cpu")


def test_a_channel_without_contrast_does_no_harm() -> None:
    split = make_split(60)
    split.images[..., 1] = 255
    flat = DeviceSplits.load(split, split)
    assert flat.deviation[1] > 0
    assert math.isfinite(records_of(make_configuration("cnn"), flat, 1)[0].val_loss)
