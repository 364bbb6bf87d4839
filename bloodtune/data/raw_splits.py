"""Contents of a data set before its audit: three splits, their groups, class names and identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bloodtune.data.audit import Copies, copies_elsewhere
from bloodtune.data.npz import SPLITS, Split
from bloodtune.data.room import check_memory
from bloodtune.data.table import Row
from bloodtune.errors import InputError, plural


@dataclass(frozen=True, eq=False)
class Contents:
    """The images of all three splits as a file or a folder gives them.

    ``groups`` has the names of the images' groups for each split, (N,), or is empty. ``class_names`` is None if the
    source does not name its classes. ``copies`` are the images compared. ``rows`` are the photographs of a folder with
    their splits. ``notes`` are sentences for the user.
    """

    md5: str
    splits: Mapping[str, Split]
    copies: Copies
    class_names: tuple[str, ...] | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def without_copies(self) -> Contents:
        """Return the contents without training images that have a copy in another split, in memory.

        Raises:
            InputError: they do not fit there.
        """
        elsewhere = copies_elsewhere(self.copies)
        train = self.splits["train"]
        check_memory(2 * train.images.nbytes, "--drop-copies", "allowed: without it")  # Ray has a second copy
        kept = Split(np.ascontiguousarray(train.images[~elsewhere]), train.labels[~elsewhere])
        note = (
            f"--drop-copies: {plural(int(elsewhere.sum()), 'training image')} left out, which equal images of other "
            "splits"
        )
        groups = {**self.groups, "train": self.groups["train"][~elsewhere]} if self.groups else self.groups
        copies = Copies(*({**ids, "train": ids["train"][~elsewhere]} for ids in self.copies))
        splits = {**self.splits, "train": kept}
        return dataclasses.replace(self, splits=splits, copies=copies, groups=groups, notes=(*self.notes, note))

    def check_classes(self, where: str) -> None:
        """Check that every split has images of every class; for data whose classes have names.

        Raises:
            InputError: a split lacks a class; the message names split and class.
        """
        names = self.class_names or ()
        for split in SPLITS:
            counts = np.bincount(self.splits[split].labels, minlength=len(names))
            missing = [name for name, count in zip(names, counts, strict=True) if not count]
            if missing:
                lacks = f"{len(missing)} of {len(names)} classes ({', '.join(missing[:5])})"
                raise InputError(
                    f"{where}: split {split} with {plural(counts.sum(), 'image')} has none of {lacks}; allowed: every "
                    f"class in every split; --without {missing[0]!r} leaves a class out"
                )
