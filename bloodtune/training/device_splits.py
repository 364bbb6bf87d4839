"""The training and validation splits as tensors on one device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bloodtune.data.npz import Split

_PIXELS = 2**25  # of which a histogram is made at once


@dataclass(frozen=True)
class DeviceSplits:
    """Images, uint8 (N, H, W, C), and labels, int64 (N,), of the training and validation splits on one device.

    ``mean`` and ``deviation`` (C,) describe the training pixels on the scale 0 to 255. ``class_counts`` (K,) are the
    numbers of training images per class. ``read`` starts to read training images of these numbers from the disk; it is
    None if they are in memory.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    class_counts: torch.Tensor
    read: Callable[[Sequence[int]], None] | None = None

    @classmethod
    def load(cls, train: Split, val: Split, device: torch.device | str = "cpu") -> DeviceSplits:
        """Copy the splits to ``device``; on the CPU the tensors share the arrays' memory."""
        mean, deviation = _pixel_statistics(train.images)
        return cls(
            train_images=_to_device(train.images, device),
            train_labels=_to_device(train.labels, device),
            val_images=_to_device(val.images, device),
            val_labels=_to_device(val.labels, device),
            mean=torch.tensor(mean, dtype=torch.float32, device=device),
            deviation=torch.tensor(deviation, dtype=torch.float32, device=device),
            class_counts=torch.tensor(np.bincount(train.labels), device=device),
            read=train.reader() if torch.device(device).type == "cpu" else None,
        )

    @property
    def device(self) -> torch.device:
        """The device of all tensors."""
        return self.train_images.device


def _to_device(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    with warnings.catch_warnings():
        # Arrays from Ray's object store are read-only, and nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def _pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # From a histogram of the 256 pixel values: exact, and without a copy of all images.
    counts = np.zeros((images.shape[3], 256), np.int64)
    for part in torch.split(_to_device(images, "cpu"), max(1, _PIXELS // math.prod(images.shape[1:3]))):
        channels = part.flatten(0, 2).unbind(1)
        counts += torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).numpy()
    values, pixels = np.arange(256), math.prod(images.shape[:3])
    mean = counts @ values / pixels
    return mean, np.sqrt(np.maximum(counts @ values**2 / pixels - mean**2, 1e-6))
