"""Bloodtune: distributed hyperparameter search for blood-cell classification."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloodtune.counting import Prediction, Unreadable
    from bloodtune.inference import classify
    from bloodtune.run import load_run
    from bloodtune.search import run_search

__version__ = "0.1.0"
__all__ = ["Prediction", "Unreadable", "classify", "load_run", "run_search"]

_PLACES = {"classify": "inference", "load_run": "run", "run_search": "search"}
_PLACES |= {"Prediction": "counting", "Unreadable": "counting"}


def __getattr__(name: str) -> Any:
    # Only when used: torch takes seconds, and `python -m bloodtune.search` would find itself imported already.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
