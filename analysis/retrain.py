"""Train configurations anew over fresh seeds, in parallel through Ray; what is done once is kept under the run."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
from ray import cloudpickle
from ray.util import ActorPool
from results import Contender, Retraining, TestedContender

from bloodtune.configuration import Configuration
from bloodtune.data import Dataset, Split

CACHE = "retrained"
RESULT, CURVE, PROBABILITIES = "result.json", "curve.csv", "test_probabilities.npy"

# Epochs without a better validation macro-F1 after which a training at a constant rate ends. One whose rate falls to
# zero runs to its end: its best epochs are the last ones.
PATIENCE = 10


@dataclass(frozen=True)
class Candidate:
    """A configuration to be retrained, for at most ``epochs``; the rest is as in ``Contender``."""

    label: str
    origin: str
    configuration: Configuration
    epochs: int
    search_val_macro_f1: float | None = None


@dataclass(frozen=True)
class _Job:
    configuration: Configuration
    epochs: int
    seed: int
    folder: Path


def retrain(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    folder: Path,
    *,
    seeds: int,
    workers: int,
    gpus: float,
    advance: Callable[[int, int], None],
) -> list[Contender]:
    """Train each candidate ``seeds`` times, where it was not done before.

    The seeds are drawn from the candidate's label, so that two published configurations that are the same function
    (cross-entropy and NLL) are two samples of it and not one sample twice.

    Args:
        candidates: what to train, each with a label of its own.
        dataset: training and validation split; the weights of the best validation epoch are kept.
        folder: where each training is kept, by label, configuration, epochs, data and seed.
        seeds: trainings of each candidate.
        workers: trainings at a time, one CPU each.
        gpus: share of a GPU that each worker gets.
        advance: called with the trainings done so far and those to do.

    Returns:
        The candidates with their trainings, in their order.
    """
    jobs = {candidate.label: _jobs(candidate, folder, dataset.md5, seeds) for candidate in candidates}
    # The longest first, so that no worker is left with one at the end.
    missing = [job for group in jobs.values() for job in group if not (job.folder / RESULT).exists()]
    waiting = sorted(missing, key=_cost, reverse=True)
    advance(0, len(waiting))
    if waiting:
        train, val = ray.put(dataset.train), ray.put(dataset.val)
        workers = min(workers, len(waiting))
        pool = _pool(workers, gpus, _Trainer, train, val, dataset.class_names)
        finished = pool.map_unordered(lambda trainer, job: trainer.train.remote(job), waiting)
        for done, _ in enumerate(finished, start=1):
            advance(done, len(waiting))
    return [
        Contender(
            label=candidate.label,
            origin=candidate.origin,
            configuration=candidate.configuration,
            retrainings=tuple(_read(job) for job in jobs[candidate.label]),
            search_val_macro_f1=candidate.search_val_macro_f1,
        )
        for candidate in candidates
    ]


def score_test_split(
    contenders: Sequence[Contender],
    load_images: Callable[[], np.ndarray],
    *,
    workers: int,
    gpus: float,
    advance: Callable[[int, int], None],
) -> list[TestedContender]:
    """Let each retrained model predict the test images, in one pass over all; predictions are kept beside it.

    ``load_images`` gives the test images, uint8 (N, H, W, C); it is called only where a prediction is missing.
    """
    models = list(dict.fromkeys(r.model for contender in contenders for r in contender.retrainings))
    waiting = [model for model in models if not (model / PROBABILITIES).exists()]
    advance(0, len(waiting))
    if waiting:
        images = ray.put(load_images())
        pool = _pool(min(workers, len(waiting)), gpus, _Scorer, images)
        finished = pool.map_unordered(lambda scorer, model: scorer.score.remote(model), waiting)
        for done, _ in enumerate(finished, start=1):
            advance(done, len(waiting))
    return [
        TestedContender(contender, np.stack([np.load(r.model / PROBABILITIES) for r in contender.retrainings]))
        for contender in contenders
    ]


def _pool(workers: int, gpus: float, actor: type, *arguments: Any) -> ActorPool:
    # By value: the workers, on other hosts above all, need not find this folder.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    remote = ray.remote(num_cpus=1, num_gpus=gpus)(actor)
    device = "cuda" if gpus else "cpu"
    return ActorPool([remote.remote(device, *arguments) for _ in range(workers)])


def _jobs(candidate: Candidate, folder: Path, md5: str, seeds: int) -> list[_Job]:
    content = json.dumps([candidate.configuration.to_mapping(), candidate.epochs, md5, PATIENCE])
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", candidate.label.lower()).strip("-")
    place = folder.absolute() / f"{slug}-{digest}"
    drawn = [zlib.crc32(f"{candidate.label}, seed {number}".encode()) for number in range(seeds)]
    return [_Job(candidate.configuration, candidate.epochs, seed, place / f"seed-{seed}") for seed in drawn]


def _cost(job: _Job) -> int:
    # Roughly: a residual epoch costs four times one of the others.
    return job.epochs * (4 if job.configuration.family == "residual" else 1)


def _read(job: _Job) -> Retraining:
    result = json.loads((job.folder / RESULT).read_text())
    return Retraining(seed=job.seed, curve=pd.read_csv(job.folder / CURVE), model=job.folder, **result)


class _Trainer:
    """A Ray actor that keeps torch and the splits from one training to the next."""

    def __init__(self, device: str, train: Split, val: Split, class_names: tuple[str, ...]) -> None:
        from bloodtune.training import DeviceSplits

        _one_thread(device)
        self._splits = DeviceSplits.load(train, val, device)
        self._class_names = class_names

    def train(self, job: _Job) -> None:
        """Train one configuration and keep model, curve and, last, the result."""
        import torch

        from bloodtune.classifier import Classifier
        from bloodtune.training import Training

        started = time.perf_counter()
        training = Training(job.configuration, self._splits, max_epochs=job.epochs, seed=job.seed)
        epochs, best, weights = [], None, {}
        for _ in range(job.epochs):
            epochs.append(training.run_epoch())
            if best is None or epochs[-1].val_macro_f1 > best.val_macro_f1:
                best = epochs[-1]
                weights = {k: v.detach().clone() for k, v in training.network.state_dict().items()}
            is_constant = job.configuration.schedule == "constant"
            if is_constant and epochs[-1].epoch - best.epoch >= PATIENCE:
                break
        assert best is not None
        training.network.load_state_dict(weights)
        size, channels = self._splits.train_images.shape[1], self._splits.train_images.shape[3]
        classifier = Classifier(training.network, job.configuration, self._class_names, size, channels)
        classifier.save(job.folder, seed=job.seed, best_epoch=best.epoch, val_macro_f1=best.val_macro_f1)
        pd.DataFrame(asdict(epoch) for epoch in epochs).to_csv(job.folder / CURVE, index=False)
        result = {
            "epochs": len(epochs),
            "best_epoch": best.epoch,
            "val_macro_f1": best.val_macro_f1,
            "val_accuracy": best.val_accuracy,
            "train_seconds": round(time.perf_counter() - started, 2),
            "parameters": training.parameters,
        }
        (job.folder / RESULT).write_text(json.dumps(result, indent=2) + "\n")
        if self._splits.device.type == "cuda":
            torch.cuda.empty_cache()


class _Scorer:
    """A Ray actor that holds the test images; only the last step of the summary makes one."""

    def __init__(self, device: str, images: np.ndarray) -> None:
        _one_thread(device)
        self._device = device
        self._images = images

    def score(self, model: Path) -> None:
        """Keep a model's probabilities (N, K) of the test images beside it."""
        from bloodtune.classifier import Classifier

        probabilities = Classifier.load(model, self._device).predict(self._images)
        temporary = model / f".{PROBABILITIES}"
        with temporary.open("wb") as file:
            np.save(file, probabilities)
        temporary.replace(model / PROBABILITIES)


def _one_thread(device: str) -> None:
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
