"""A trainer of retrainings whose epochs have given scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bloodtune.run.records import EpochRecord
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.models import build_network
from bloodtune.training.trainer import DivergedError
from bloodtune.tuning.retraining_cache import Trained, TrainingJob
from bloodtune.tuning.retraining_workers import Trainer
from engine_fixtures import make_configuration

NAMES = ("small", "middle", "large")
FALLING = ("one_cycle", "cosine")


class PlayedTraining:
    """Stands in for ``Training``: each epoch has the next validation macro-F1, and None diverges.

    The bias of the classifier becomes the number of the epoch, so that weights can be told apart.
    """

    scores: tuple[float | None, ...] = ()
    note = ""
    asked: dict[str, Any]

    def __init__(self, configuration: Any, splits: DeviceSplits, **options: Any) -> None:
        type(self).asked = options
        torch.manual_seed(0)
        size, classes = splits.train_images.shape[1], len(splits.class_counts)
        self.network = build_network(
            configuration, size=size, classes=classes, mean=splits.mean, deviation=splits.deviation
        )
        self.networks = [self.network]
        self.parameters, self._epoch = 1234, 0

    def run_epoch(self) -> EpochRecord:
        score = self.scores[self._epoch]
        self._epoch += 1
        if score is None:
            raise DivergedError(f"training loss is nan in epoch {self._epoch}")
        nn.init.constant_(self.network[1][-1].bias, self._epoch)  # type: ignore[index]
        return EpochRecord(self._epoch, 1.0, 1.0, score, score, 0.5)


def train(
    trainer: Trainer, *scores: float | None, schedule: str = "constant", epochs: int = 100, seed: int = 7
) -> Trained:
    """Train with these scores, one an epoch; an epoch beyond them is an IndexError."""
    PlayedTraining.scores = scores
    configuration = make_configuration("mlnn", schedule=schedule)
    return trainer.train(TrainingJob(configuration, epochs, seed, Path("nowhere")))


def epoch_of_weights(trained: Trained) -> float:
    """Return the number of the epoch whose weights were kept."""
    assert trained.classifier is not None
    (bias,) = set(trained.classifier.network[1][-1].bias.tolist())  # type: ignore[index]
    return float(bias)
