"""Short trainings of a configuration, for the tests of the trainer."""

import dataclasses
from typing import Any

from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import Training

EVERYTHING = {
    "dropout": 0.2,
    "schedule": "one_cycle",
    "dihedral": True,
    "shift": 1,
    "stain": 0.05,
    "cutout": 2,
    "rotation": 30.0,
    "scale": 0.2,
    "colour": 0.1,
    "blur": 0.1,
    "mixup": 0.2,
    "cutmix": 0.2,
    "ema": 0.2,
}


def train(
    configuration: Configuration, splits: DeviceSplits, epochs: int = 2, *, seed: int = 0, max_epochs: int | None = None
) -> tuple[Training, list[EpochRecord]]:
    training = Training(configuration, splits, max_epochs=max_epochs or epochs, seed=seed)
    return training, [dataclasses.replace(training.run_epoch(), seconds=0.0) for _ in range(epochs)]


def records_of(
    configuration: Configuration, splits: DeviceSplits, epochs: int = 2, **options: Any
) -> list[EpochRecord]:
    return train(configuration, splits, epochs, **options)[1]
