"""What the summary is made of: configurations retrained over seeds, and their predictions on the test split."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bloodtune.configuration import Configuration
from bloodtune.recipe import BOOK, load_enqueued

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


@dataclass(frozen=True)
class Retraining:
    """One configuration trained anew with one seed; the weights kept are those of the best validation epoch.

    ``curve`` has the columns of ``curves.csv`` but ``trial``, validated as in a search; ``val_*`` are those of the
    weights kept, used as the model will be (over several views of an image where it was trained with such).
    """

    seed: int
    epochs: int
    best_epoch: int
    val_macro_f1: float
    val_accuracy: float
    train_seconds: float
    parameters: int
    curve: pd.DataFrame
    model: Path


@dataclass(frozen=True)
class Contender:
    """A configuration with its retrainings: a published one (``label`` as in papers.toml) or one the search found.

    ``max_epochs`` is the most that a retraining may take, which also sets its schedule's end.
    ``search_val_macro_f1`` is the best value that the search itself saw; None for a published configuration
    that the search did not run.
    """

    label: str
    origin: str
    configuration: Configuration
    max_epochs: int
    retrainings: tuple[Retraining, ...]
    search_val_macro_f1: float | None = None

    @property
    def mean_val_macro_f1(self) -> float:
        """Mean over the seeds: the number that configurations are chosen by."""
        return float(np.mean([r.val_macro_f1 for r in self.retrainings]))

    @property
    def median(self) -> int:
        """Index of the retraining that is median on validation (the lower one of two)."""
        order = np.argsort([r.val_macro_f1 for r in self.retrainings], kind="stable")
        return int(order[(len(order) - 1) // 2])


def shared_trainings(contenders: Sequence[Contender]) -> str:
    """Return a sentence on which contenders are the same function and so the same trainings; empty if none are."""
    groups: dict[Path, list[str]] = {}
    for contender in contenders:
        groups.setdefault(contender.retrainings[0].model, []).append(contender.label)
    same = [" and ".join(labels) for labels in groups.values() if len(labels) > 1]
    return f" The same function, trained once: {'; '.join(same)}." if same else ""


@dataclass(frozen=True)
class TestedContender:
    """A contender with the class probabilities of each retraining on the test split, (seeds, images, classes)."""

    __test__ = False  # pytest would take the class for a test by its name

    contender: Contender
    probabilities: np.ndarray

    @property
    def median_probabilities(self) -> np.ndarray:
        """Probabilities (images, classes) of the seed that is median on validation."""
        return np.asarray(self.probabilities[self.contender.median])


@dataclass(frozen=True)
class Choices:
    """What was chosen on validation, before the test split was read; all by the contenders' labels.

    ``found`` is the best of those that the search found, if any. ``by_family`` has the best contender of each
    family, published or found; ``published_by_family`` the best published one.
    """

    best: str
    found: str | None
    by_family: dict[str, str]
    published_by_family: dict[str, str]

    def labels(self) -> list[str]:
        """Return the best of each family in their order, the best of all last."""
        return [*(label for label in self.by_family.values() if label != self.best), self.best]

    def compared(self) -> list[str]:
        """Return the best published one of each family, then the best found one and the best of all."""
        found = [self.found] if self.found else []
        return list(dict.fromkeys([*self.published_by_family.values(), *found, self.best]))


def choose(contenders: Sequence[Contender]) -> Choices:
    """Choose by mean validation macro-F1 over the seeds; the earlier one of equals.

    Raises:
        ValueError: there is no contender.
    """
    if not contenders:
        raise ValueError("no contender to choose from: nothing was retrained")
    published = [contender for contender in contenders if contender.origin == PUBLISHED]
    found = [contender for contender in contenders if contender.origin == FOUND]
    return Choices(
        best=best_of(contenders).label,
        found=best_of(found).label if found else None,
        by_family=_best_by_family(contenders),
        published_by_family=_best_by_family(published),
    )


def best_of(contenders: Sequence[Contender]) -> Contender:
    """Return the one of the highest mean validation macro-F1 over its seeds; the earlier one of equals."""
    return max(contenders, key=lambda contender: contender.mean_val_macro_f1)


def _best_by_family(contenders: Sequence[Contender]) -> dict[str, str]:
    families: dict[str, list[Contender]] = {}
    for contender in contenders:
        families.setdefault(contender.configuration.family, []).append(contender)
    return {family: best_of(members).label for family, members in families.items()}
