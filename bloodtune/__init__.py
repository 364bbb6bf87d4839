"""Bloodtune: distributed hyperparameter search for blood-cell classification."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloodtune.inference.differential import Prediction, Unreadable
    from bloodtune.inference.predictor import classify
    from bloodtune.run.directory import load_run
    from bloodtune.tuning.driver import run_search

__version__ = "0.1.0"
__all__ = ["Prediction", "Unreadable", "classify", "load_run", "run_search"]

_PLACES = {"classify": "inference.predictor", "load_run": "run.directory", "run_search": "tuning.driver"}
_PLACES |= {"Prediction": "inference.differential", "Unreadable": "inference.differential"}


def __getattr__(name: str) -> Any:
    # Import on first use: torch takes seconds, and `python -m bloodtune.search` would warn of an imported module.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
