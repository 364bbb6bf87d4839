"""The choice of models by validation, before the test split is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bloodtune.data.audit import standard_error
from bloodtune.tuning.retrained_models import Contender
from contender_labels import FOUND, PUBLISHED

BEST, SMALL = "best", "small"  # rules of the choice


@dataclass(frozen=True)
class SmallChoice:
    """The choice of the smallest contender whose score is at most one standard error below the highest score.

    ``highest`` is the label of the contender with the highest mean validation macro-F1 over seeds, ``score`` this mean,
    and ``error`` its standard error, as ``data.audit.standard_error`` estimates it from the validation images.
    """

    highest: str
    score: float
    error: float

    def reason(self, chosen: Contender) -> str:
        """Return the rule and its scores, as the end of a sentence on the chosen contender."""
        rule = (
            "the one with the fewest parameters whose mean validation macro-F1 over the seeds is at most one standard "
            f"error below the highest (--prefer small). The standard error is {100 * self.error:.1f} points (binomial, "
            "from the validation images of each class), the highest score"
        )
        if chosen.label == self.highest:
            return f"{rule} {100 * self.score:.1f} % of this model"
        own = f"that of this model {100 * chosen.mean_val_macro_f1:.1f} %"
        return f"{rule} {100 * self.score:.1f} % of {self.highest}, {own}"


@dataclass(frozen=True)
class Choices:
    """Labels of the chosen contenders.

    ``best`` is the chosen contender: the best one or, if there is ``small``, the smallest one that is nearly as good.
    ``found`` is the best contender from the search (None without any). ``by_family`` maps each family to its best
    contender, ``published_by_family`` to its best published contender.
    """

    best: str
    found: str | None
    by_family: dict[str, str]
    published_by_family: dict[str, str]
    small: SmallChoice | None = None

    def labels(self) -> list[str]:
        """Return the best contender of each family; the chosen contender is last."""
        return [*(label for label in self.by_family.values() if label != self.best), self.best]

    def compared(self) -> list[str]:
        """Return the best published contender of each family, the best found contender and the chosen one."""
        found = [self.found] if self.found else []
        return list(dict.fromkeys([*self.published_by_family.values(), *found, self.best]))


def choose(contenders: Sequence[Contender], val_counts: Sequence[int] | None = None) -> Choices:
    """Choose contenders by mean validation macro-F1 over seeds. Of equal contenders the first one wins.

    With ``val_counts``, the numbers of validation images per class, ``best`` becomes the contender with the fewest
    parameters whose score is at most one standard error below the highest; of equally small ones, the best.

    Raises:
        ValueError: ``contenders`` is empty.
    """
    if not contenders:
        raise ValueError("no contender to choose from: nothing was retrained")
    published = [contender for contender in contenders if contender.origin == PUBLISHED]
    found = [contender for contender in contenders if contender.origin == FOUND]
    highest, small = best_of(contenders), None
    chosen = highest
    if val_counts is not None:
        score = highest.mean_val_macro_f1
        small = SmallChoice(highest.label, score, standard_error(score, val_counts))
        near = [contender for contender in contenders if contender.mean_val_macro_f1 >= score - small.error]
        chosen = min(near, key=lambda one: (one.retrainings[0].parameters, -one.mean_val_macro_f1))
    return Choices(
        best=chosen.label,
        found=best_of(found).label if found else None,
        by_family=_best_by_family(contenders),
        published_by_family=_best_by_family(published),
        small=small,
    )


def best_of(contenders: Sequence[Contender]) -> Contender:
    """Return the contender with the highest mean validation macro-F1 over seeds, the first of equal contenders."""
    return max(contenders, key=lambda contender: contender.mean_val_macro_f1)


def _best_by_family(contenders: Sequence[Contender]) -> dict[str, str]:
    families: dict[str, list[Contender]] = {}
    for contender in contenders:
        families.setdefault(contender.configuration.family, []).append(contender)
    return {family: best_of(members).label for family, members in families.items()}
