"""The model that is used where none is named: a summary's, that of the newest search, or the pretrained one."""

from __future__ import annotations

import os
from pathlib import Path

from bloodtune.files import RUN_MODEL, follow_latest

BEST_MODEL, NEWEST_RUN = "results/latest/models/best", "runs/latest"
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
CARD = "model.json"


def find_model(asked: Path | str | None) -> Path:
    """Return the folder of the model that is ``asked`` for, or else of the first that is there.

    Without ``asked``: the model of the newest summary, of the newest search, or ``PRETRAINED``. It may not exist.
    """
    if asked is not None:
        return model_folder(Path(asked))
    here = (model_folder(Path(place)) for place in (BEST_MODEL, NEWEST_RUN))
    return next((folder for folder in here if os.path.isfile(folder / CARD)), PRETRAINED)


def model_folder(folder: Path) -> Path:
    """Return the folder of a model: ``folder``, or the subfolder that has the model of a run directory."""
    folder = follow_latest(folder)
    inner = folder / RUN_MODEL
    return inner if os.path.isfile(inner / CARD) and not os.path.isfile(folder / CARD) else folder
