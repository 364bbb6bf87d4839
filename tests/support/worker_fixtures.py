"""A warm worker that tests drive as Tune does, but without Ray."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodtune.data.npz import Split
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe import Asha
from bloodtune.tuning.worker import WarmWorker

ASHA = Asha(max_epochs=9, first_rung=2, reduction_factor=3)


def config(**changes: Any) -> dict[str, Any]:
    """Return what Tune gives a worker for a trial of a small network."""
    configuration = {"family": "cnn", "width": 4, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 16}
    made = Configuration.from_mapping(configuration | changes)
    return {
        "trial": 0,
        "seed": 1,
        "configuration": made,
        "checkpoint": None,
        "to_beat": 0.0,
        "record_steps": True,
    }


def make_worker(*, profile: bool = False, device: str = "cpu", folds: np.ndarray | None = None) -> WarmWorker:
    """Return a worker on 48 images in three classes, without Ray."""
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = generator.integers(0, 256, (48, 8, 8, 3)).astype(np.uint8)
    split = Split(images, labels)
    worker = WarmWorker.__new__(WarmWorker)  # Tune's own __init__ wants a Ray worker
    more: dict[str, Any] = {"card": {"run": "one", "class_names": ("a", "b", "c")}, "profile": profile, "folds": folds}
    worker.setup(config(), train=split, val=split, asha=ASHA, device=device, checkpoint_every=1e6, **more)
    return worker
