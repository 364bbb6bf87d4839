"""A tiny data set that can be learned, and a configuration of each family."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodtune.data.npz import Split
from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits

SIZE = 12

_SHAPES: dict[str, dict[str, Any]] = {
    "mlnn": {"hidden_layers": 2, "hidden_size": 32},
    "cnn": {"width": 8},
    "lightweight": {"width": 8},
    "residual": {"width": 8},
    "resnet": {"width": 8, "depth": 1},
}
SGD = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": False}


def make_configuration(family: str = "cnn", **changes: Any) -> Configuration:
    """Return a small configuration of ``family``, under Adam but for what ``changes`` say."""
    values = {"family": family, "optimizer": "adam", "learning_rate": 0.003, "batch_size": 32}
    return Configuration.from_mapping(values | _SHAPES.get(family, {"width": 8}) | changes)


def make_split(images: int, *, classes: int = 3, channels: int = 3, size: int = SIZE, seed: int = 0) -> Split:
    """Draw noisy discs: the class decides about their radius, and about their colour where there is one."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(images, dtype=np.int64) % classes)
    distance = np.hypot(*(np.indices((size, size)) - (size - 1) / 2))
    radius = size * (0.1 + 0.4 * labels / (classes - 1))
    pixels = generator.normal(80, 25, (images, size, size, channels))
    disc = np.where(distance < radius[:, np.newaxis, np.newaxis], 100, 0)
    pixels[np.arange(images), ..., labels % channels] += disc
    return Split(pixels.clip(0, 255).astype(np.uint8), labels)


def make_splits(train: int = 192, val: int = 60, **options: Any) -> DeviceSplits:
    """Return a training and a validation split of ``make_split`` on the CPU."""
    return DeviceSplits.load(make_split(train, **options, seed=1), make_split(val, **options, seed=2))
