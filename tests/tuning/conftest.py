"""A trainer of retrainings in this process."""

from __future__ import annotations

import pytest

from bloodtune.training.numerics import Numerics
from bloodtune.tuning import retraining_workers
from bloodtune.tuning.retraining_workers import Trainer, Workers
from engine_fixtures import make_split
from retraining_fixtures import NAMES, PlayedTraining


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Return a trainer in this process, whose settings stay as they are."""
    monkeypatch.setattr(retraining_workers, "prepare_process", lambda device: None)
    monkeypatch.setattr(retraining_workers, "Training", PlayedTraining)
    return Trainer(Workers(1, 0.0, Numerics("bfloat16")), make_split(12), make_split(6), NAMES)
