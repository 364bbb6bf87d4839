"""Labels and origins of contenders, and contenders that share their trainings."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import BOOK, load_enqueued
from bloodtune.tuning.retrained_models import Contender

PUBLISHED, FOUND, ENSEMBLE, DISTILLED = "published", "found", "ensemble", "distilled"


def trial_label(trial: int) -> str:
    """Return the label of a configuration that the search found."""
    return f"search #{trial}"


@functools.cache
def _published() -> frozenset[Configuration]:
    return frozenset(entry.configuration for entry in load_enqueued(BOOK / "papers.toml"))


def is_published(configuration: Configuration) -> bool:
    """Return whether a paper has the configuration; a recipe may enqueue and label other configurations too."""
    return configuration in _published()


def shared_trainings(contenders: Sequence[Contender]) -> str:
    """Return a sentence on contenders that share trainings because their losses are the same function, else ''."""
    groups: dict[Path, list[str]] = {}
    for contender in contenders:
        groups.setdefault(contender.retrainings[0].model, []).append(contender.label)
    same = [" and ".join(labels) for labels in groups.values() if len(labels) > 1]
    return f" Mathematically the same and trained once: {'; '.join(same)}." if same else ""
