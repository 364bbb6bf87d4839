"""Contents of a data set before its audit: three splits, their groups, class names and identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bloodtune.data.audit import Copies
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

    def without_copies(self, *, folds: bool) -> Contents:
        """Return the contents without the training images that have a copy in another split.

        With ``folds``, validation images are trained on too: both lose their copies of test images. Copies of each
        other stay, because they are drawn into one fold.

        Raises:
            InputError: a split would lose all images of a class, or they do not fit into memory.
        """
        trained, others = (("train", "val"), ("test",)) if folds else (("train",), ("val", "test"))
        elsewhere = np.concatenate([self.copies.turned[name] for name in others])
        kept = {name: np.ones(len(split.labels), bool) for name, split in self.splits.items()}
        kept |= {name: ~np.isin(self.copies.turned[name], elsewhere) for name in trained}
        size = sum(self.splits[name].images.nbytes for name in trained)
        check_memory(2 * size, "--drop-copies", "allowed: without it")  # Ray has a second copy
        splits = {name: _take(split, kept[name]) for name, split in self.splits.items()}
        self._check_dropped(splits)
        dropped = plural(sum(int((~rows).sum()) for rows in kept.values()), "image")
        note = f"--drop-copies: {dropped} of {' and '.join(trained)} left out, with a copy in {' or '.join(others)}"
        if folds:
            note += "; copies within train and val are in one fold"
        return dataclasses.replace(
            self,
            splits=splits,
            copies=Copies(*({name: ids[name][rows] for name, rows in kept.items()} for ids in self.copies)),
            groups={name: names[kept[name]] for name, names in self.groups.items()},
            notes=(*self.notes, note),
        )

    def _check_dropped(self, splits: Mapping[str, Split]) -> None:
        for name, split in splits.items():
            if gone := sorted(set(self.splits[name].labels.tolist()) - set(split.labels.tolist())):
                label = self.class_names[gone[0]] if self.class_names else gone[0]
                raise InputError(
                    f"--drop-copies would leave {name} without an image of class {label!r}: each has a copy in another "
                    "split; allowed: no --drop-copies, or splits that share fewer images"
                )

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


def _take(split: Split, rows: np.ndarray) -> Split:
    return Split(np.ascontiguousarray(split.images[rows]), split.labels[rows])
