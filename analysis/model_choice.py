"""The choice of models by validation, before the test split is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bloodtune.tuning.contender import Contender
from contender_labels import FOUND, PUBLISHED


@dataclass(frozen=True)
class Choices:
    """Labels of the chosen contenders.

    ``best`` is the best contender, ``found`` the best contender from the search (None without any).
    ``by_family`` maps each family to its best contender, ``published_by_family`` to its best published contender.
    """

    best: str
    found: str | None
    by_family: dict[str, str]
    published_by_family: dict[str, str]

    def labels(self) -> list[str]:
        """Return the best contender of each family; the best contender of all is last."""
        return [*(label for label in self.by_family.values() if label != self.best), self.best]

    def compared(self) -> list[str]:
        """Return the best published contender of each family, the best found contender and the best of all."""
        found = [self.found] if self.found else []
        return list(dict.fromkeys([*self.published_by_family.values(), *found, self.best]))


def choose(contenders: Sequence[Contender]) -> Choices:
    """Choose contenders by mean validation macro-F1 over seeds. Of equal contenders the first one wins.

    Raises:
        ValueError: ``contenders`` is empty.
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
    """Return the contender with the highest mean validation macro-F1 over seeds, the first of equal contenders."""
    return max(contenders, key=lambda contender: contender.mean_val_macro_f1)


def _best_by_family(contenders: Sequence[Contender]) -> dict[str, str]:
    families: dict[str, list[Contender]] = {}
    for contender in contenders:
        families.setdefault(contender.configuration.family, []).append(contender)
    return {family: best_of(members).label for family, members in families.items()}
