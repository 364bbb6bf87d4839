"""Model of a run: weights and card of its best trial, replaced together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bloodtune.files import replace

MODEL = "model"
_NEW = ".model"  # written completely before it becomes MODEL
_COMPLETE = "complete"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a trained model, by name. Only workers make them."""

    contents: Mapping[str, bytes] = field(repr=False)


def write_model(run: Path, model: ModelFiles) -> None:
    """Replace the folder ``model`` of the run directory. After a crash ``finish_model`` restores a complete model."""
    new = run / _NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, content in model.contents.items():
        replace(new / name, content)
    (new / _COMPLETE).touch()
    finish_model(run)


def drop_model_of_another(run: Path, trial: int) -> None:
    """Delete the model if its card names another trial, one that was the best and has failed since."""
    try:
        found = json.loads((run / MODEL / "model.json").read_text(encoding="utf-8"))["search"]["trial"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if found != trial:
        shutil.rmtree(run / MODEL)


def finish_model(run: Path) -> None:
    """Put a completely written new model in place; delete an incomplete one."""
    new = run / _NEW
    if not (new / _COMPLETE).exists():
        shutil.rmtree(new, ignore_errors=True)
        return
    shutil.rmtree(run / MODEL, ignore_errors=True)
    new.rename(run / MODEL)
    (run / MODEL / _COMPLETE).unlink()
