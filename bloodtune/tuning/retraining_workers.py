"""The workers of a retraining: Ray actors that train configurations and score models, several at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.util import ActorPool

from bloodtune.data.folds import cut_splits, join_splits
from bloodtune.data.npz import Split
from bloodtune.errors import describe
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.deployment_scores import held_out_distances
from bloodtune.run.records import EpochRecord
from bloodtune.training import metrics
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.losses import Teacher
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.process_setup import prepare_process
from bloodtune.training.trainer import DivergedError, Training
from bloodtune.tuning.retraining_cache import Trained, TrainingJob

if TYPE_CHECKING:
    import torch
# Epochs without a better validation macro-F1 after which a training at a constant rate ends. A training whose rate
# falls to zero runs to its end: its best epochs are the last ones.
PATIENCE = 10


@dataclass(frozen=True)
class Workers:
    """The number of simultaneous trainings, one CPU each, the share of a GPU per training, and their numerics.

    ``asked`` is the number that the user asked for, if any. ``is_untried``: whether a GPU holds that many is not known.
    """

    count: int
    gpus: float
    numerics: Numerics = FLOAT32
    asked: int | None = None
    is_untried: bool = False

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

    Raises:
        ChildProcessError: a job raised an exception, or its process died.
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
        try:
            result = pool.get_next_unordered()
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise ChildProcessError(f"a worker of the summary failed: {describe(cause)}") from None
        yield result
        done += 1
        advance(done, submitted + len(waiting))


class Trainer:
    """A Ray actor that keeps torch and the splits from one training to the next.

    With ``folds``, the result of ``fold_images``, a training has one network per fold. Their held-out predictions give
    its scores. The network that is kept is trained on the images of both splits, for the epochs that scored best.
    A training that fails on a GPU runs again on a CPU.
    """

    def __init__(
        self,
        workers: Workers,
        train: Split,
        val: Split,
        class_names: tuple[str, ...],
        folds: np.ndarray | None = None,
    ) -> None:
        self._data, self._class_names, self._workers = (train, val, folds), class_names, workers
        self._device = ""  # where the splits are

    def train(self, job: TrainingJob, teacher: Classifier | None = None) -> Trained:
        """Train one configuration, with folds without a teacher; the weights of the best validation epoch are kept.

        Its note says if the GPU failed, or if its steps could not be recorded.
        """
        if self._workers.device == "cpu":
            return self._train_on("cpu", job, teacher)
        try:
            return self._train_on("cuda", job, teacher)
        except Exception as error:  # of CUDA, or of the network itself, which then fails again
            reason = describe(error)
        if "out of memory" not in reason:  # a CUDA error can leave the GPU unusable for this process
            self._workers = dataclasses.replace(self._workers, gpus=0.0)
        note = f"a retraining failed on the GPU ({reason}) and ran on a CPU"
        return dataclasses.replace(self._train_on("cpu", job, teacher), note=note)

    def _train_on(self, device: str, job: TrainingJob, teacher: Classifier | None) -> Trained:
        if self._device != device:
            prepare_process(device)
            train, val, folds = self._data
            pairs = cut_splits(train, val, folds)
            self._numerics = self._workers.numerics if device == "cuda" else self._workers.numerics.usable_on(device)
            self._held_out = [held_out for _, held_out in pairs]
            self._splits = [DeviceSplits.load(*pair, device) for pair in pairs]
            self._whole = None if folds is None else DeviceSplits.load(join_splits(train, val), val, device)
            self._device = device
        return self._train(job, teacher)

    def _train(self, job: TrainingJob, teacher: Classifier | None) -> Trained:
        started = time.perf_counter()
        options: dict[str, Any] = {"max_epochs": job.epochs, "seed": job.seed, "numerics": self._numerics}
        options |= {"recompute_norms": True} | ({"teacher": self._teach(teacher)} if teacher else {})
        training = (
            FoldedTraining(job.configuration, self._splits, **options)
            if self._whole
            else Training(job.configuration, self._splits[0], **options)
        )
        epochs, best, weights, failure = self._run(training, job)
        if not epochs:
            return Trained(job, {"failure": failure}, [], None)
        for network, known in zip(training.networks, weights, strict=True):
            network.load_state_dict(known)
        classifiers = [self._classifier(network, job) for network in training.networks]
        pairs = zip(classifiers, self._held_out, strict=True)
        # Scored as the model will be used: over several views if it was trained with them.
        predicted = np.concatenate([one.predict(held_out.images).argmax(axis=1) for one, held_out in pairs])
        labels = np.concatenate([held_out.labels for held_out in self._held_out])
        matrix = metrics.confusion_matrix(labels, predicted, len(self._class_names))
        kept, probabilities, distances = classifiers[0], None, None
        if self._whole:
            probabilities, distances = self._judge_held_out(classifiers)
            try:
                kept = self._classifier(train_whole(job, self._whole, epochs[best].epoch, options), job)
            except DivergedError as error:
                return Trained(job, {"failure": f"on all images: {error}"}, [], None)
        result = {
            "epochs": len(epochs),
            "best_epoch": epochs[best].epoch,
            "val_macro_f1": float(metrics.macro_f1(matrix)),
            "val_accuracy": float(metrics.accuracy(matrix)),
            "train_seconds": round(time.perf_counter() - started, 2),
            "parameters": training.parameters,
        }
        kept.network.cpu()
        return Trained(job, result, epochs, kept, probabilities, distances, training.note)

    def _judge_held_out(self, classifiers: list[Classifier]) -> tuple[np.ndarray, np.ndarray]:
        # The probabilities and the guards' distances of held-out images, fold by fold.
        pairs = cut_splits(*self._data)
        folds = [(Deployment(one), *pair) for one, pair in zip(classifiers, pairs, strict=True)]
        return np.concatenate([one.predict(out.images) for one, _, out in folds]), held_out_distances(folds)

    def _teach(self, teacher: Classifier) -> Teacher:
        network, device = teacher.network.to(self._splits[0].device).eval(), self._splits[0].device

        def probabilities(images: torch.Tensor) -> torch.Tensor:
            with self._numerics.autocast(device):
                logits: torch.Tensor = network(images)
            return logits.float().softmax(1)

        return probabilities

    def _classifier(self, network: torch.nn.Module, job: TrainingJob) -> Classifier:
        size, channels = self._splits[0].train_images.shape[1], self._splits[0].train_images.shape[3]
        return Classifier(network, job.configuration, self._class_names, size, channels, self._numerics.precision)

    def _run(
        self, training: Training | FoldedTraining, job: TrainingJob
    ) -> tuple[list[EpochRecord], int, list[dict[str, torch.Tensor]], str]:
        # Returns the epochs, the index of the best one, its weights per network, and why the training diverged, if so.
        epochs: list[EpochRecord] = []
        weights: list[dict[str, torch.Tensor]] = []
        best = -1
        is_constant = job.configuration.schedule == "constant"
        try:
            while len(epochs) < job.epochs and not (is_constant and len(epochs) - 1 - best >= PATIENCE):
                epochs.append(training.run_epoch())
                if best < 0 or epochs[-1].val_macro_f1 > epochs[best].val_macro_f1:
                    best = len(epochs) - 1
                    weights = [
                        {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
                        for network in training.networks
                    ]
        except DivergedError as error:
            return epochs, best, weights, str(error)
        return epochs, best, weights, ""


def train_whole(job: TrainingJob, whole: DeviceSplits, epochs: int, options: dict[str, Any]) -> torch.nn.Module:
    """Train on all images for ``epochs`` epochs of the job's schedule; return the network.

    Raises:
        DivergedError: the loss is not finite.
    """
    training = Training(job.configuration, whole, **options)
    for _ in range(epochs):
        training.train_epoch()
    training.recompute_norms()
    return training.network


class Scorer:
    """A Ray actor that holds the test images; only the last step of the summary makes one."""

    def __init__(self, workers: Workers, test: Split) -> None:
        prepare_process(workers.device)
        self._device = workers.device
        self._images = test.images

    def score(self, folder: Path, classifier: Classifier) -> tuple[Path, np.ndarray]:
        """Return a model's folder and its probabilities (N, K) of the test images."""
        try:
            classifier.network.to(self._device)
            return folder, classifier.predict(self._images)
        except Exception:
            if self._device == "cpu":
                raise
        self._device = "cpu"  # the GPU fails
        return folder, Classifier.load(folder).predict(self._images)
