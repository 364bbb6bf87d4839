"""Contenders: configurations retrained over seeds, their predictions on the test split, and their speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bloodtune.space.configuration import Configuration


@dataclass(frozen=True)
class Retraining:
    """One configuration trained anew with one seed; the weights kept are those of the best validation epoch.

    ``curve`` has the columns of ``curves.csv`` without ``trial``, validated as in a search. ``val_*`` score the kept
    weights as the model will predict: over several views per image if it was trained with them.
    """

    seed: int
    epochs: int
    best_epoch: int
    val_macro_f1: float
    val_accuracy: float
    train_seconds: float
    parameters: int
    curve: pd.DataFrame
    model: Path


@dataclass(frozen=True)
class Contender:
    """A configuration with its retrainings: a published one (``label`` as in papers.toml) or one the search found.

    A retraining's schedule ends at ``max_epochs``. ``search_val_macro_f1`` is the best value in the search; None for a
    published configuration that the search did not run.
    """

    label: str
    origin: str
    configuration: Configuration
    max_epochs: int
    retrainings: tuple[Retraining, ...]
    search_val_macro_f1: float | None = None

    @property
    def mean_val_macro_f1(self) -> float:
        """Mean over the seeds: the number that configurations are chosen by."""
        return float(np.mean([r.val_macro_f1 for r in self.retrainings]))

    @property
    def median(self) -> int:
        """Index of the retraining that is median on validation (the lower one of two)."""
        order = np.argsort([r.val_macro_f1 for r in self.retrainings], kind="stable")
        return int(order[(len(order) - 1) // 2])


class Speed(NamedTuple):
    """The images per second of a retrained model on one core of a processor, as the median over rounds.

    ``views`` are the predictions of each image whose mean is the result.
    """

    images_per_second: float
    views: int
    rounds: int
    processor: str


@dataclass(frozen=True)
class TestedContender:
    """A contender with the class probabilities of each retraining on the test split, (seeds, images, classes)."""

    __test__ = False  # pytest would take the class for a test by its name

    contender: Contender
    probabilities: np.ndarray

    @property
    def median_probabilities(self) -> np.ndarray:
        """Probabilities (images, classes) of the seed that is median on validation."""
        return np.asarray(self.probabilities[self.contender.median])
