"""Names and origins of what the summary compares, and which of them share their trainings."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import BOOK, load_enqueued
from bloodtune.tuning.contender import Contender

PUBLISHED, FOUND = "published", "found"


def trial_label(trial: int) -> str:
    """Return what a configuration that the search found is called."""
    return f"search #{trial}"


@functools.cache
def _published() -> frozenset[Configuration]:
    return frozenset(entry.configuration for entry in load_enqueued(BOOK / "papers.toml"))


def is_published(configuration: Configuration) -> bool:
    """Return whether the papers have it; a recipe may enqueue, and so label, others too."""
    return configuration in _published()


def shared_trainings(contenders: Sequence[Contender]) -> str:
    """Return a sentence on which contenders are the same function and so the same trainings; empty if none are."""
    groups: dict[Path, list[str]] = {}
    for contender in contenders:
        groups.setdefault(contender.retrainings[0].model, []).append(contender.label)
    same = [" and ".join(labels) for labels in groups.values() if len(labels) > 1]
    return f" The same function, trained once: {'; '.join(same)}." if same else ""
