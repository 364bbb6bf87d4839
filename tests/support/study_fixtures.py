"""The study of a run, opened as a user of Optuna opens it."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend


def load_study(file: Path, name: str) -> optuna.Study:
    """Load a study from its journal."""
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(JournalFileBackend(str(file))))
