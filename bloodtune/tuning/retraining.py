"""Train configurations anew over fresh seeds, in parallel through Ray; what is done once is kept under the run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import ray
from ray import cloudpickle
from ray.util import ActorPool

import bloodtune
from bloodtune.data.dataset import Dataset
from bloodtune.data.npz import Split
from bloodtune.files import check_writable
from bloodtune.inference.classifier import Classifier
from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import epoch_cost
from bloodtune.training import metrics
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.tuning.contender import Contender, Retraining, TestedContender

CACHE = "retrained"
RESULT, CURVE, PROBABILITIES = "result.json", "curve.csv", "test_probabilities.npy"

# Epochs without a better validation macro-F1 after which a training at a constant rate ends. One whose rate falls to
# zero runs to its end: its best epochs are the last ones.
PATIENCE = 10

# What decides a training beside its configuration: with other code, what was kept is not the same training.
_TRAINING_CODE = (
    "training/trainer.py",
    "training/splits.py",
    "training/prediction.py",
    "training/process.py",
    "training/cuda_graphs.py",
    "training/numerics.py",
    "training/augmentation.py",
    "training/losses.py",
    "training/optimizers.py",
    "training/metrics.py",
    "inference/classifier.py",
    "training/models/*.py",
)


@dataclass(frozen=True)
class Candidate:
    """A configuration to be retrained, for at most ``epochs``; the rest is as in ``Contender``."""

    label: str
    origin: str
    configuration: Configuration
    epochs: int
    search_val_macro_f1: float | None = None


@dataclass(frozen=True)
class Workers:
    """How many trainings run at a time, of one CPU each, the share of a GPU that each gets, and their numerics."""

    count: int
    gpus: float
    numerics: Numerics = FLOAT32

    @property
    def device(self) -> str:
        """Where they train."""
        return "cuda" if self.gpus else "cpu"


@dataclass(frozen=True)
class _Job:
    configuration: Configuration
    epochs: int
    seed: int
    folder: Path


@dataclass(frozen=True)
class _Trained:
    """What a worker gives back; the driver alone writes, so that no other host's disk matters.

    ``classifier`` is None, and ``result`` has the key ``failure``, where the first epoch diverged.
    """

    job: _Job
    result: dict[str, Any]
    epochs: list[EpochRecord]
    classifier: Classifier | None


def retrain(
    first: Sequence[Candidate],
    beside: Sequence[Candidate],
    then: Callable[[list[Contender]], Sequence[Candidate]],
    dataset: Dataset,
    folder: Path,
    *,
    seeds: int,
    workers: Workers,
    advance: Callable[[int, int], None],
) -> list[Contender]:
    """Train each candidate ``seeds`` times, where it was not done before.

    Cross-entropy and NLL on log-softmax are one function: published configurations that differ in nothing else share
    their trainings.

    Args:
        first: what to train, each with a label of its own.
        beside: what else to train, by workers that ``first`` leaves free.
        then: called with ``first`` and its trainings; returns what to train next.
        dataset: training and validation split; the weights of the best validation epoch are kept.
        folder: where each training is kept, by configuration, epochs, data, code and seed.
        seeds: trainings of each candidate.
        workers: how many at a time, and where.
        advance: called with the trainings done so far and those known of.

    Returns:
        The candidates with their trainings, in their order, but for those of which one diverged in its first epoch.

    Raises:
        InputError: something is to be trained and ``folder`` cannot be written.
    """

    def find_jobs(candidate: Candidate) -> list[_Job]:
        return _jobs(candidate, folder, dataset, seeds, workers.numerics)

    def missing(candidates: Sequence[Candidate]) -> dict[Path, _Job]:
        # Once each, also where candidates share them; the longest first, so that no worker is left with one at the end.
        jobs = [job for candidate in candidates for job in find_jobs(candidate)]
        todo = [job for job in jobs if not (job.folder / RESULT).exists()]
        return {job.folder: job for job in sorted(todo, key=_cost, reverse=True)}

    def read(candidates: Sequence[Candidate]) -> list[Contender]:
        found = [_read(candidate, find_jobs(candidate)) for candidate in candidates]
        return [contender for contender in found if contender]

    last: Sequence[Candidate] | None = None

    def follow_up() -> None:
        nonlocal last
        if last is None and not missing(first):
            last = then(read(first))
            waiting[:0] = missing(last).values()

    waiting = list((missing(first) | missing(beside)).values())
    follow_up()
    if waiting:  # what is whole can be drawn again from a run that is read-only
        check_writable(folder)
    shared = (ray.put(dataset.train), ray.put(dataset.val), dataset.class_names) if waiting else ()
    for trained in _map(_Trainer, shared, lambda trainer, job: trainer.train.remote(job), waiting, workers, advance):
        _keep(trained)
        follow_up()
    return read([*first, *beside, *(last or ())])


def score_test_split(
    contenders: Sequence[Contender], images: np.ndarray, *, workers: Workers, advance: Callable[[int, int], None]
) -> list[TestedContender]:
    """Let each retrained model predict the test images, in one pass over all; predictions are kept beside it.

    ``images`` are uint8 (N, H, W, C).
    """
    models = dict.fromkeys(r.model for contender in contenders for r in contender.retrainings)
    waiting = [model for model in models if not (model / PROBABILITIES).exists()]
    shared = (ray.put(images),) if waiting else ()

    def submit(scorer: Any, model: Path) -> Any:
        return scorer.score.remote(model, Classifier.load(model))

    for model, probabilities in _map(_Scorer, shared, submit, waiting, workers, advance):
        with _replacing(model / PROBABILITIES) as file:
            np.save(file, probabilities)
    return [
        TestedContender(contender, np.stack([np.load(r.model / PROBABILITIES) for r in contender.retrainings]))
        for contender in contenders
    ]


def _map(
    actor: type,
    shared: tuple[Any, ...],
    submit: Callable[[Any, Any], Any],
    waiting: list[Any],
    workers: Workers,
    advance: Callable[[int, int], None],
) -> Iterator[Any]:
    # Gives the results as they come from a pool of actors that hold ``shared``. Who takes them may put more into
    # ``waiting``, from which the jobs are taken.
    # By value: the workers, on other hosts above all, need not find this folder.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
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


def _jobs(candidate: Candidate, folder: Path, dataset: Dataset, seeds: int, numerics: Numerics) -> list[_Job]:
    configuration = candidate.configuration
    if configuration.loss == "nll":
        configuration = dataclasses.replace(configuration, loss="cross_entropy")
    what = json.dumps([configuration.to_mapping(), candidate.epochs])
    content = json.dumps([what, dataset.md5, list(dataset.class_names), numerics.to_mapping(), _code_digest()])
    place = folder.absolute() / f"{configuration.family}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    drawn = [zlib.crc32(f"{what}, seed {number}".encode()) for number in range(seeds)]
    return [_Job(configuration, candidate.epochs, seed, place / f"seed-{seed}") for seed in drawn]


@functools.cache
def _code_digest() -> str:
    package = Path(bloodtune.__file__).parent
    files = [Path(__file__), *(file for pattern in _TRAINING_CODE for file in sorted(package.glob(pattern)))]
    digest = hashlib.sha256(metadata.version("torch").encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _cost(job: _Job) -> int:
    return job.epochs * epoch_cost(job.configuration.family)


def _keep(trained: _Trained) -> None:
    folder = trained.job.folder
    folder.mkdir(parents=True, exist_ok=True)
    if trained.classifier is not None:
        trained.classifier.save(folder, seed=trained.job.seed, **trained.result)
        pd.DataFrame(asdict(epoch) for epoch in trained.epochs).to_csv(folder / CURVE, index=False)
    # Last: where this file is, the training is whole.
    with _replacing(folder / RESULT) as file:
        file.write(json.dumps(trained.result, indent=2).encode())


def _read(candidate: Candidate, jobs: Sequence[_Job]) -> Contender | None:
    results = [json.loads((job.folder / RESULT).read_text()) for job in jobs]
    if any("failure" in result for result in results):
        return None
    return Contender(
        label=candidate.label,
        origin=candidate.origin,
        configuration=candidate.configuration,
        max_epochs=candidate.epochs,
        retrainings=tuple(
            Retraining(seed=job.seed, curve=pd.read_csv(job.folder / CURVE), model=job.folder, **result)
            for job, result in zip(jobs, results, strict=True)
        ),
        search_val_macro_f1=candidate.search_val_macro_f1,
    )


@contextmanager
def _replacing(file: Path) -> Iterator[BinaryIO]:
    temporary = file.with_name(f".{file.name}")
    with temporary.open("wb") as stream:
        yield stream
    temporary.replace(file)


class _Trainer:
    """A Ray actor that keeps torch and the splits from one training to the next."""

    def __init__(self, workers: Workers, train: Split, val: Split, class_names: tuple[str, ...]) -> None:
        from bloodtune.training.process import use_one_core
        from bloodtune.training.splits import DeviceSplits

        if workers.device == "cpu":
            use_one_core()
        self._numerics = workers.numerics
        self._splits = DeviceSplits.load(train, val, workers.device)
        self._val = val
        self._class_names = class_names

    def train(self, job: _Job) -> _Trained:
        """Train one configuration; the weights kept are those of the best validation epoch."""
        from bloodtune.training.trainer import DivergedError, Training

        started = time.perf_counter()
        training = Training(
            job.configuration,
            self._splits,
            max_epochs=job.epochs,
            seed=job.seed,
            numerics=self._numerics,
            settle_norms=True,
        )
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
            if not epochs:
                return _Trained(job, {"failure": str(error)}, [], None)
        training.network.load_state_dict(weights)
        size, channels = self._splits.train_images.shape[1], self._splits.train_images.shape[3]
        classifier = Classifier(
            training.network, job.configuration, self._class_names, size, channels, self._numerics.precision
        )
        # As the model will be used: over several views where it was trained with them.
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
        return _Trained(job, result, epochs, classifier)


class _Scorer:
    """A Ray actor that holds the test images; only the last step of the summary makes one."""

    def __init__(self, workers: Workers, images: np.ndarray) -> None:
        from bloodtune.training.process import use_one_core

        if workers.device == "cpu":
            use_one_core()
        self._device = workers.device
        self._images = images

    def score(self, folder: Path, classifier: Classifier) -> tuple[Path, np.ndarray]:
        """Return a model's folder and its probabilities (N, K) of the test images."""
        classifier.network.to(self._device)
        return folder, classifier.predict(self._images)
