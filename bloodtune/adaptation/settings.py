"""Settings of an adaptation: those that are searched, and the configuration that they make of a model's own."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from bloodtune.space.configuration import Configuration

_IMAGES = 3000  # that a network sees in a training: enough for its loss to settle, whatever their number
EPOCHS = (12, 80)  # fewest and most
_BATCH = 24


@dataclass(frozen=True)
class Settings:
    """The settings that an adaptation searches.

    ``source`` is the index of the photographs: they may be given with several crops. ``normalization``, ``stain`` and
    ``learning_rate`` are fields of the configuration. ``kept`` is the number of first layers that keep their weights.
    ``epochs`` is the length of the training.
    """

    source: int
    normalization: str
    stain: float
    learning_rate: float
    kept: int
    epochs: int = 0

    def configuration(self, model: Configuration, images: int) -> Configuration:
        """Return the configuration of a model with these settings, to train on so many images.

        Batches are equal, because batch norm suffers from a last one of few images. The rate is constant and the
        weights are averaged over the last fifth of the steps, so that the network of any epoch can be used. Network,
        augmentation and decay stay those of the model.
        """
        return dataclasses.replace(
            model,
            normalization=self.normalization,
            stain=self.stain,
            loss="label_smoothing",
            label_smoothing=0.1,
            focal_gamma=None,
            optimizer="sgd",
            learning_rate=self.learning_rate,
            momentum=0.9,
            nesterov=True,
            batch_size=max(2, math.ceil(images / max(1, round(images / _BATCH)))),
            schedule="constant",
            dihedral=True,
            mixup=0.0,  # mixed images need more steps than there are
            cutmix=0.0,
            ema=0.2,
        )


def most_epochs(images: int, quick: bool = False) -> int:
    """Return the epochs after which a training on so many images has ended: 80 for few, or 40 if quick; 12 for many."""
    low, high = EPOCHS
    return min(max(1, high // 2) if quick else high, max(low, _IMAGES // images))


def choices(model: Configuration, sources: int, quick: bool = False) -> dict[str, tuple[Any, ...]]:
    """Return the values of each setting in the order of the search; it starts from the first of each.

    Only a model that knows the mean and deviation of its training pixels can give images the stain of these. With
    ``quick`` nothing is searched but the source.
    """
    if quick:
        stain = "reinhard" if model.normalization == "zscore" else model.normalization
        usual = {"normalization": stain, "stain": 0.1, "learning_rate": 0.01, "kept": 0}
        return {"source": tuple(range(sources)), **{name: (value,) for name, value in usual.items()}}
    stains = ("zscore", "reinhard") if model.normalization in ("zscore", "reinhard") else (model.normalization,)
    return {
        "source": tuple(range(sources)),
        "normalization": stains,
        "stain": (0.0, 0.1),
        "learning_rate": (0.01, 0.003),
        "kept": (0, 3),
    }
