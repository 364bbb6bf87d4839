"""The training of one configuration on all folds of a data set, epoch by epoch in step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.packed_state import pack, unpack
from bloodtune.training.phase_timer import Stopwatch
from bloodtune.training.trainer import Training, score_epoch


class FoldedTraining:
    """Trains one network per fold, on the images of all other folds; otherwise like ``Training``.

    After each epoch the predictions of all held-out images are pooled, fold by fold, and scored together. The training
    loss is the mean over folds. ``folds`` has the data of each fold, with its held-out images as validation split.
    The networks have the seeds ``seed``, ``seed`` + 1 and so on. ``network`` is the first fold's.

    On a GPU, steps are not recorded, because a process may record one training at a time.
    """

    note = ""
    val_probabilities: torch.Tensor | None = None

    def __init__(
        self,
        configuration: Configuration,
        folds: Sequence[DeviceSplits],
        *,
        max_epochs: int,
        seed: int,
        numerics: Numerics = FLOAT32,
        recompute_norms: bool = False,
        watch: Stopwatch | None = None,
        start: Mapping[str, torch.Tensor] | None = None,
        kept: int = 0,
    ) -> None:
        self._trainings = [
            Training(
                configuration,
                splits,
                max_epochs=max_epochs,
                seed=seed + number,
                numerics=numerics,
                recompute_norms=recompute_norms,
                watch=watch,
                record_steps=False,
                start=start,
                kept=kept,
            )
            for number, splits in enumerate(folds)
        ]
        self.val_labels = torch.cat([training.val_labels for training in self._trainings])

    @property
    def epoch(self) -> int:
        """The number of epochs that all networks have finished."""
        return self._trainings[-1].epoch

    @property
    def networks(self) -> list[torch.nn.Module]:
        """The networks that are validated and kept, one per fold."""
        return [training.network for training in self._trainings]

    @property
    def network(self) -> torch.nn.Module:
        """The first fold's network."""
        return self._trainings[0].network

    @property
    def parameters(self) -> int:
        """The number of trained parameters of one network."""
        return self._trainings[0].parameters

    def save(self) -> bytes:
        """Return everything that the next epoch of all networks depends on, packed."""
        return pack([training.state() for training in self._trainings])

    def restore(self, state: bytes) -> None:
        """Continue from the state that ``save`` returned for the same configuration and folds.

        Raises:
            Exception: as ``Training.restore``, or a ValueError if the number of folds differs.
        """
        for training, saved in zip(self._trainings, unpack(state), strict=True):
            training.load_state(saved)

    def run_epoch(self) -> EpochRecord:
        """Train every network for one pass over its images, then score all held-out predictions together.

        Raises:
            DivergedError: a training loss, or the validation loss, is not finite.
        """
        started = time.perf_counter()
        train_loss = self.train_epoch()
        return score_epoch(self.epoch, train_loss, self.validate(), self.val_labels, started)

    def train_epoch(self) -> float:
        """Train every network for one pass over its images; return the mean loss.

        Raises:
            DivergedError: a loss is not finite.
        """
        return sum(training.train_epoch() for training in self._trainings) / len(self._trainings)

    def validate(self) -> torch.Tensor:
        """Return ``val_probabilities`` after this epoch, fold by fold."""
        self.val_probabilities = torch.cat([training.validate() for training in self._trainings])
        return self.val_probabilities
