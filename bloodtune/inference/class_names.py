"""Class of a model by a label: its name in any form, or a usual name of a blood cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bloodtune.inference.differential import blood_cell


def find_class(label: str, class_names: Sequence[str]) -> int | None:
    """Return the index of the class that a label names, in any case, singular or plural, or None.

    A usual name of a blood cell, such as ``Seg``, names the class of this cell if it is the only one.
    """
    for form in (str, _plain):
        names = [form(name) for name in class_names]
        if form(label) in names:
            return names.index(form(label))
    meant = same_cell(label, class_names)
    return class_names.index(meant[0]) if len(meant) == 1 else None


def same_cell(label: str, class_names: Sequence[str]) -> list[str]:
    """Return the classes of the blood cell that a label means, such as ``BNE`` and ``SNE`` for ``Seg``."""
    kind = blood_cell(label)
    return [name for name in class_names if kind and blood_cell(name) == kind]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold().removesuffix("s")
