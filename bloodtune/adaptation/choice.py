"""Choice of the settings of an adaptation, by predictions of held-out photographs pooled over repeated folds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bloodtune.adaptation.settings import Settings, choices, most_epochs
from bloodtune.adaptation.start import starting_weights
from bloodtune.data.folds import cut_splits, held_out_split
from bloodtune.data.labelled_folder import LabelledFolder
from bloodtune.data.npz import Split
from bloodtune.errors import InputError
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.deployment_scores import fit_guard
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import FLOAT32, Numerics, supported_precisions
from bloodtune.training.trainer import DivergedError

_PREDICTIONS = 60  # held-out predictions that decide, at least: fewer photographs are cut into folds more than once


@dataclass(frozen=True, eq=False)
class Trial:
    """Settings with their predictions of held-out photographs.

    Attributes:
        settings: what was tried, with the number of epochs that was best.
        held_out: the photographs, fold by fold, once per repetition of the folds.
        probabilities: float32 (N, K), each by a network that was not trained on the photograph.
        distances: of the photographs (N,), from guards of the same networks; empty if a network has none.
    """

    settings: Settings
    held_out: Split
    probabilities: np.ndarray
    distances: np.ndarray

    @property
    def loss(self) -> float:
        """The mean log loss: of few photographs it says more than their number of errors."""
        right = self.probabilities[np.arange(len(self.held_out.labels)), self.held_out.labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())


class Search:
    """A search over the settings of an adaptation.

    Args:
        model: the trained model to adapt.
        folders: the labelled photographs, with one or more crops.
        seed: of the folds and the trainings.

    Attributes:
        choices: the values of each setting.
        numerics: the precision of the model, if this machine has it.
    """

    def __init__(self, model: Classifier, folders: Sequence[LabelledFolder], seed: int = 0) -> None:
        self.model, self.folders, self.seed = model, folders, seed
        self.numerics = Numerics(model.precision) if model.precision in supported_precisions("cpu") else FLOAT32
        self.choices = choices(model.configuration, len(folders))

    @property
    def trials(self) -> int:
        """The number of settings that are tried."""
        return 1 + sum(len(values) - 1 for values in self.choices.values())

    def run(self, advance: Callable[[int, int], None]) -> list[Trial]:
        """Try one setting after another, each from the best so far; return all trials, the best one first.

        ``advance`` is called with the number of settings tried and of all that will be.

        Raises:
            InputError: the model's network does not allow another number of classes, or no training has a finite loss.
        """
        advance(0, self.trials)
        first = Settings(**{name: values[0] for name, values in self.choices.items()})
        trials, tried = self._try(first), 1
        advance(tried, self.trials)
        for name, values in self.choices.items():
            best = min(trials, key=lambda trial: trial.loss).settings if trials else first
            for value in values:
                if value != getattr(best, name):
                    trials += self._try(dataclasses.replace(best, **{name: value}))
                    advance(tried := tried + 1, self.trials)
        if not trials:
            raise InputError("the loss of every training was infinite; allowed: a model whose weights are finite")
        return sorted(trials, key=lambda trial: trial.loss)

    def start(self, settings: Settings) -> dict[str, torch.Tensor]:
        """Return the weights from which a training with these settings starts."""
        data = self.folders[settings.source].dataset
        configuration = settings.configuration(self.model.configuration, len(data.train.labels))
        return starting_weights(self.model, configuration, data.class_names)

    def _try(self, settings: Settings) -> list[Trial]:
        # The trial with the better number of epochs; none if a loss is not finite.
        folder = self.folders[settings.source]
        images = len(folder.dataset.train.labels)
        start, found = self.start(settings), dict[int, list[Trial]]()
        try:
            for repetition in range(math.ceil(_PREDICTIONS / images)):
                for trial in self._hold_out(settings, start, folder, self.seed + repetition):
                    found.setdefault(trial.settings.epochs, []).append(trial)
        except DivergedError:
            return []
        return [min(map(_pool, found.values()), key=lambda trial: trial.loss)]

    def _hold_out(
        self, settings: Settings, start: dict[str, torch.Tensor], folder: LabelledFolder, seed: int
    ) -> list[Trial]:
        # Trials after half of the epochs and after all of them.
        data, folds = folder.dataset, folder.folds(seed)
        pairs = cut_splits(data.train, data.val, folds)
        held_out = held_out_split(data.train, data.val, folds)
        epochs = most_epochs(len(data.train.labels))
        training = FoldedTraining(
            settings.configuration(self.model.configuration, len(pairs[0][0].labels)),
            [DeviceSplits.load(*pair) for pair in pairs],
            max_epochs=epochs,
            seed=seed,
            numerics=self.numerics,
            start=start,
            kept=settings.kept,
        )
        trials = []
        for epoch in range(1, epochs + 1):
            training.train_epoch()
            if epoch in (epochs // 2, epochs):
                networks = [dataclasses.replace(self.model, network=network) for network in training.networks]
                found = [examine_held_out(*both) for both in zip(networks, pairs, strict=True)]
                probabilities, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
                trials.append(Trial(dataclasses.replace(settings, epochs=epoch), held_out, probabilities, distances))
        return trials


def examine_held_out(network: Classifier, pair: tuple[Split, Split]) -> tuple[np.ndarray, np.ndarray]:
    """Return a network's probabilities of the photographs held out from it, and their distances from its guard."""
    train, held_out = pair
    deployment = Deployment(network)
    probabilities, features = deployment.examine(held_out.images)
    guard = fit_guard(deployment, train, features)
    return probabilities, guard.distances(features) if guard else np.zeros(0)


def _pool(trials: list[Trial]) -> Trial:
    held_out = [trial.held_out for trial in trials]
    images = np.concatenate([split.images for split in held_out])
    return dataclasses.replace(
        trials[0],
        held_out=Split(images, np.concatenate([split.labels for split in held_out])),
        probabilities=np.concatenate([trial.probabilities for trial in trials]),
        distances=np.concatenate([trial.distances for trial in trials]),
    )
