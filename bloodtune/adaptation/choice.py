"""Choice of the settings of an adaptation, by predictions of held-out photographs pooled over repeated folds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bloodtune.adaptation.settings import Settings, choices, most_epochs
from bloodtune.adaptation.start import starting_weights
from bloodtune.data.folds import cut_splits
from bloodtune.data.labelled_folder import LabelledFolder
from bloodtune.data.npz import Split
from bloodtune.errors import InputError
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import Numerics
from bloodtune.training.trainer import DivergedError

PREDICTIONS = 60  # held-out predictions that decide, at least: fewer photographs are cut into folds more than once
NETWORKS = 3  # whose weights are averaged

Part = tuple[Deployment, Split, Split]  # a network, what it was trained on, and what was held out from it


@dataclass(frozen=True, eq=False)
class Trial:
    """Settings with their predictions of held-out photographs.

    Attributes:
        settings: what was tried, with the number of epochs that was best.
        labels: of the photographs (N,), fold by fold, once per repetition of the folds.
        probabilities: float32 (N, K), each by a network that was not trained on the photograph.
        parts: the networks of the first repetition of the folds.
    """

    settings: Settings
    labels: np.ndarray
    probabilities: np.ndarray
    parts: Sequence[Part] = ()

    @property
    def loss(self) -> float:
        """The mean log loss: of few photographs it says more than their number of errors."""
        right = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())


class Search:
    """A search over the settings of an adaptation.

    Args:
        model: the trained model to adapt.
        folders: the labelled photographs, with one or more crops.
        seed: of the folds and the trainings.
        quick: the usual settings and number of epochs instead of a search, the folds once, one network.

    Attributes:
        trained: called with the number of images on which networks were trained.
        choices: the values of each setting.
        networks: the number of networks that the adapted model is the mean of.
        numerics: the precision of the model, if this machine has it.
    """

    trained: Callable[[int], None] = staticmethod(lambda images: None)

    def __init__(
        self, model: Classifier, folders: Sequence[LabelledFolder], seed: int = 0, *, quick: bool = False
    ) -> None:
        self.model, self.folders, self.seed, self._quick = model, folders, seed, quick
        self.numerics = Numerics(model.precision).usable_on("cpu")
        self.choices = choices(model.configuration, len(folders), quick)
        self.networks = 1 if quick else NETWORKS

    @property
    def images(self) -> int:
        """The most images, counted in each epoch again, on which networks are trained in all."""
        images, folds = len(self.folders[0].dataset.train.labels), self.folders[0].folds(self.seed).max() + 1
        trials = 1 + sum(len(values) - 1 for values in self.choices.values())
        per_epoch = trials * self._repetitions(images) * (folds - 1) + self.networks
        return int(per_epoch * images * most_epochs(images, self._quick))

    def run(self) -> list[Trial]:
        """Try one setting after another, each from the best so far; return all trials, the best one first.

        Raises:
            InputError: the model's network does not allow another number of classes, or no training has a finite loss.
        """
        first = Settings(**{name: values[0] for name, values in self.choices.items()})
        trials = self._try(first)
        for name, values in self.choices.items():
            best = min(trials, key=lambda trial: trial.loss).settings if trials else first
            for value in values:
                if value != getattr(best, name):
                    trials += self._try(dataclasses.replace(best, **{name: value}))
        if not trials:
            raise InputError("the loss of every training was infinite; allowed: a model whose weights are finite")
        return sorted(trials, key=lambda trial: trial.loss)

    def start(self, settings: Settings) -> dict[str, torch.Tensor]:
        """Return the weights from which a training with these settings starts."""
        data = self.folders[settings.source].dataset
        configuration = settings.configuration(self.model.configuration, len(data.train.labels))
        return starting_weights(self.model, configuration, data.class_names)

    def _repetitions(self, images: int) -> int:
        return 1 if self._quick else math.ceil(PREDICTIONS / images)

    def _try(self, settings: Settings) -> list[Trial]:
        # The trial with the better number of epochs; none if a loss is not finite.
        images = len(self.folders[settings.source].dataset.train.labels)
        labels, found, first = list[np.ndarray](), dict[int, list[np.ndarray]](), dict[int, list[Part]]()
        try:
            for repetition in range(self._repetitions(images)):
                for epoch, parts in self._train_folds(settings, self.seed + repetition):
                    found.setdefault(epoch, []).extend(network.predict(out.images) for network, _, out in parts)
                    first.setdefault(epoch, parts)
                labels.extend(out.labels for _, _, out in parts)
        except DivergedError:
            return []
        trials = [
            Trial(
                dataclasses.replace(settings, epochs=epoch),
                np.concatenate(labels),
                np.concatenate(probabilities),
                first[epoch],
            )
            for epoch, probabilities in found.items()
        ]
        return [min(trials, key=lambda trial: trial.loss)]

    def _train_folds(self, settings: Settings, seed: int) -> Iterator[tuple[int, list[Part]]]:
        # After half of the epochs and after all of them, or only then if quick: the epoch, and what each fold's network
        # learned and did not.
        folder = self.folders[settings.source]
        pairs = cut_splits(folder.dataset.train, folder.dataset.val, folder.folds(seed))
        epochs = most_epochs(len(folder.dataset.train.labels), self._quick)
        training = FoldedTraining(
            settings.configuration(self.model.configuration, len(pairs[0][0].labels)),
            [DeviceSplits.load(*pair) for pair in pairs],
            max_epochs=epochs,
            seed=seed,
            numerics=self.numerics,
            start=self.start(settings),
            kept=settings.kept,
        )
        for epoch in range(1, epochs + 1):
            training.train_epoch()
            self.trained(sum(len(train.labels) for train, _ in pairs))
            if epoch == epochs or (epoch == epochs // 2 and not self._quick):
                networks = [Deployment(dataclasses.replace(self.model, network=one)) for one in training.networks]
                yield epoch, [(network, *pair) for network, pair in zip(networks, pairs, strict=True)]
