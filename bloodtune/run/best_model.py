"""Model of a run: weights and card of its best trial, replaced together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bloodtune.files import RUN_MODEL, parse_json


@dataclass(frozen=True)
class ModelFiles:
    """The files of a trained model, by name. Only workers make them."""

    contents: Mapping[str, bytes] = field(repr=False)


def drop_model_of_another(run: Path, trial: int) -> None:
    """Delete the model if its card names another trial, one that was the best and has failed since."""
    try:
        found = parse_json((run / RUN_MODEL / "model.json").read_bytes())["search"]["trial"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if found != trial:
        shutil.rmtree(run / RUN_MODEL)
