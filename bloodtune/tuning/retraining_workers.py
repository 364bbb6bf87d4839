"""The workers of a retraining: Ray actors that train configurations and score models, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.util import ActorPool

from bloodtune.data.npz import Split
from bloodtune.inference.classifier import Classifier
from bloodtune.run.records import EpochRecord
from bloodtune.training import metrics
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.process import prepare_process
from bloodtune.training.trainer import DivergedError, Training
from bloodtune.tuning.retraining_cache import Trained, TrainingJob

if TYPE_CHECKING:
    import torch
# Epochs without a better validation macro-F1 after which a training at a constant rate ends. A training whose rate
# falls to zero runs to its end: its best epochs are the last ones.
PATIENCE = 10


@dataclass(frozen=True)
class Workers:
    """The number of simultaneous trainings, one CPU each, the share of a GPU per training, and their numerics."""

    count: int
    gpus: float
    numerics: Numerics = FLOAT32

    @property
    def device(self) -> str:
        """The device of all trainings."""
        return "cuda" if self.gpus else "cpu"


def run_jobs(
    actor: type,
    shared: tuple[Any, ...],
    submit: Callable[[Any, Any], Any],
    waiting: list[Any],
    workers: Workers,
    advance: Callable[[int, int], None],
) -> Iterator[Any]:
    """Yield the results of jobs as they come from a pool of actors.

    Args:
        actor: class of the actors, made with the workers and ``shared``.
        shared: data that every actor holds.
        submit: called with an actor and a job; returns a reference to its result.
        waiting: the jobs, taken from the front; the caller may add more while results come.
        workers: how many actors at a time, and where.
        advance: called with the number of finished jobs and of all jobs so far.
    """
    remote = ray.remote(num_cpus=1, num_gpus=workers.gpus)(actor)
    pool = ActorPool([])
    actors = submitted = done = 0
    advance(0, len(waiting))
    while waiting or done < submitted:
        while waiting and (pool.has_free() or actors < workers.count):
            if not pool.has_free():
                pool.push(remote.remote(workers, *shared))
                actors += 1
            pool.submit(submit, waiting.pop(0))
            submitted += 1
        yield pool.get_next_unordered()
        done += 1
        advance(done, submitted + len(waiting))


class Trainer:
    """A Ray actor that keeps torch and the splits from one training to the next."""

    def __init__(self, workers: Workers, train: Split, val: Split, class_names: tuple[str, ...]) -> None:
        prepare_process(workers.device)
        self._numerics = workers.numerics
        self._splits = DeviceSplits.load(train, val, workers.device)
        self._val = val
        self._class_names = class_names

    def train(self, job: TrainingJob) -> Trained:
        """Train one configuration; the weights of the best validation epoch are kept."""
        started = time.perf_counter()
        training = Training(
            job.configuration,
            self._splits,
            max_epochs=job.epochs,
            seed=job.seed,
            numerics=self._numerics,
            recompute_norms=True,
        )
        epochs, best, weights, failure = self._run(training, job)
        if not epochs:
            return Trained(job, {"failure": failure}, [], None)
        training.network.load_state_dict(weights)
        size, channels = self._splits.train_images.shape[1], self._splits.train_images.shape[3]
        precision = self._numerics.precision
        classifier = Classifier(training.network, job.configuration, self._class_names, size, channels, precision)
        # Scored as the model will be used: over several views if it was trained with them.
        predicted = classifier.predict(self._val.images).argmax(axis=1)
        matrix = metrics.confusion_matrix(self._val.labels, predicted, len(self._class_names))
        result = {
            "epochs": len(epochs),
            "best_epoch": epochs[best].epoch,
            "val_macro_f1": float(metrics.macro_f1(matrix)),
            "val_accuracy": float(metrics.accuracy(matrix)),
            "train_seconds": round(time.perf_counter() - started, 2),
            "parameters": training.parameters,
        }
        training.network.cpu()
        return Trained(job, result, epochs, classifier)

    def _run(self, training: Training, job: TrainingJob) -> tuple[list[EpochRecord], int, dict[str, torch.Tensor], str]:
        # Returns the epochs, the index of the best one, its weights, and why the training diverged, if it did.
        epochs: list[EpochRecord] = []
        best, weights = -1, {}
        is_constant = job.configuration.schedule == "constant"
        try:
            while len(epochs) < job.epochs and not (is_constant and len(epochs) - 1 - best >= PATIENCE):
                epochs.append(training.run_epoch())
                if best < 0 or epochs[-1].val_macro_f1 > epochs[best].val_macro_f1:
                    best = len(epochs) - 1
                    weights = {k: v.detach().clone() for k, v in training.network.state_dict().items()}
        except DivergedError as error:
            return epochs, best, weights, str(error)
        return epochs, best, weights, ""


class Scorer:
    """A Ray actor that holds the test images; only the last step of the summary makes one."""

    def __init__(self, workers: Workers, images: np.ndarray) -> None:
        prepare_process(workers.device)
        self._device = workers.device
        self._images = images

    def score(self, folder: Path, classifier: Classifier) -> tuple[Path, np.ndarray]:
        """Return a model's folder and its probabilities (N, K) of the test images."""
        classifier.network.to(self._device)
        return folder, classifier.predict(self._images)
