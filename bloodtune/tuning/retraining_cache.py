"""The cache of retrainings: one folder per configuration, epochs, data, code, numerics and seed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bloodtune
from bloodtune.data.dataset import Dataset
from bloodtune.files import replace
from bloodtune.inference.classifier import WEIGHTS, Classifier
from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import epoch_cost
from bloodtune.training.models.user_networks import source_digest
from bloodtune.training.numerics import Numerics
from bloodtune.tuning.retrained_models import Contender, Retraining

RESULT, CURVE = "result.json", "curve.csv"
PROBABILITIES, HELD_OUT = "test_probabilities.npy", "held_out_probabilities.npy"
DISTANCES = "held_out_distances.npy"

# Beside its configuration, this code decides a training: a change to it invalidates the cache.
_TRAINING_CODE = (
    "training/trainer.py",
    "training/cross_validation.py",
    "training/device_splits.py",
    "training/starting_network.py",
    "training/prediction.py",
    "training/process_setup.py",
    "training/cuda_graphs.py",
    "training/numerics.py",
    "training/augmentation.py",
    "training/losses.py",
    "training/optimizers.py",
    "training/metrics.py",
    "inference/classifier.py",
    "training/models/*.py",
    "tuning/retraining_workers.py",
)


@dataclass(frozen=True)
class Candidate:
    """A configuration to be retrained, for at most ``epochs``; the rest is as in ``Contender``.

    ``teacher`` is the folder of a model whose probabilities it learns, or None.
    """

    label: str
    origin: str
    configuration: Configuration
    epochs: int
    search_val_macro_f1: float | None = None
    teacher: Path | None = None


@dataclass(frozen=True)
class TrainingJob:
    """One training of a candidate, and the folders that keep it and its teacher."""

    configuration: Configuration
    epochs: int
    seed: int
    folder: Path
    teacher: Path | None = None

    @property
    def is_kept(self) -> bool:
        """True if the complete training is on disk."""
        return (self.folder / RESULT).exists()

    @property
    def cost(self) -> int:
        """Roughly the seconds that the training takes on one busy core."""
        return self.epochs * epoch_cost(self.configuration.family)


@dataclass(frozen=True)
class Trained:
    """The outcome of a job. Only the driver writes it to disk, so hosts need no shared disk.

    ``classifier`` is None, and ``result`` has the key ``failure``, if the first epoch diverged.
    ``held_out`` are, with folds, the probabilities (N, K) of the held-out images, fold by fold, as ``Deployment``
    predicts them, and ``distances`` (M,) those that set the guard's limit. ``note`` is a sentence for the user, or an
    empty string.
    """

    job: TrainingJob
    result: dict[str, Any]
    epochs: list[EpochRecord]
    classifier: Classifier | None
    held_out: np.ndarray | None = None
    distances: np.ndarray | None = None
    note: str = ""


def find_jobs(
    candidate: Candidate, folder: Path, dataset: Dataset, seeds: int, numerics: Numerics
) -> list[TrainingJob]:
    """Return the ``seeds`` trainings of a candidate, each with its folder below ``folder``.

    Cross-entropy equals NLL on log-softmax, so configurations that differ in nothing else share their trainings.
    """
    configuration = candidate.configuration
    if configuration.loss == "nll":
        configuration = dataclasses.replace(configuration, loss="cross_entropy")
    what = json.dumps([configuration.to_mapping(), candidate.epochs])
    code = _code_digest() + source_digest(configuration.family)
    content = json.dumps(
        [what, dataset.md5, list(dataset.class_names), dataset.fold_digest, numerics.to_mapping(), code]
    )
    if candidate.teacher:
        content += hashlib.sha256((candidate.teacher / WEIGHTS).read_bytes()).hexdigest()
    family = configuration.family.replace(":", ".")
    place = folder.absolute() / f"{family}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    drawn = [zlib.crc32(f"{what}, seed {number}".encode()) for number in range(seeds)]
    return [
        TrainingJob(configuration, candidate.epochs, seed, place / f"seed-{seed}", candidate.teacher) for seed in drawn
    ]


def keep(trained: Trained) -> None:
    """Write a training into its folder, its result last: a folder with a result is whole."""
    folder = trained.job.folder
    folder.mkdir(parents=True, exist_ok=True)
    if trained.classifier is not None:
        trained.classifier.save(folder, seed=trained.job.seed, **trained.result)
    for name, array in ((HELD_OUT, trained.held_out), (DISTANCES, trained.distances)):
        if array is not None:
            keep_array(folder / name, array)
    if trained.epochs:
        pd.DataFrame(asdict(epoch) for epoch in trained.epochs).to_csv(folder / CURVE, index=False)
    replace(folder / RESULT, json.dumps(trained.result, indent=2).encode())


def keep_array(file: Path, array: np.ndarray) -> None:
    """Write an array."""
    content = io.BytesIO()
    np.save(content, array)
    replace(file, content.getvalue())


def read_contender(candidate: Candidate, jobs: Sequence[TrainingJob]) -> Contender | None:
    """Return a candidate with its trainings, or None if one of them diverged in its first epoch."""
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


@functools.cache
def _code_digest() -> str:
    package = Path(bloodtune.__file__).parent
    digest = hashlib.sha256(metadata.version("torch").encode())
    for pattern in _TRAINING_CODE:
        files = sorted(package.glob(pattern))
        assert files, f"{pattern}: no such module"
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()
