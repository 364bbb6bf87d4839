"""Audit of a data set: copies of images, also turned and mirrored ones, contradicting labels, groups in two splits."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bloodtune.data.npz import SPLITS, Split
from bloodtune.errors import plural

PAIRS = tuple(itertools.combinations(SPLITS, 2))
_SMALL = 0.01  # a standard error above it is said
_TYPICAL = 0.95  # a score, for the standard error before there is one


@dataclass(frozen=True)
class Audit:
    """The counts of an audit.

    ``copies`` has the keys train, val and test for images that equal an earlier image of their split, and keys such as
    ``train_test`` for images of test that are also in train. ``turned`` counts in the same way the images that equal
    another only after rotation by a multiple of 90 degrees or reflection; it is None in records of older versions.
    ``conflicts`` counts images that have copies with another label. ``group_count`` is the number of groups; ``groups``
    has the number of groups in both splits of a pair.
    """

    copies: Mapping[str, int]
    turned: Mapping[str, int] | None = None
    conflicts: int = 0
    group_count: int = 0
    groups: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Audit:
        """Return the audit in a ``provenance.json``; older versions recorded the copies alone."""
        return cls(**record) if "copies" in record else cls(record)

    def sentences(self) -> list[str]:
        """Return the findings as sentences without full stops; a search, a plan and a report print them."""
        lines = [_copies("exact copies", self.copies)]
        if self.turned is not None:
            lines.append(_copies("turned or mirrored copies", self.turned))
            lines.append(f"images with a copy that has another label: {self.conflicts or 'none'}")
        if self.group_count:
            shared = [f"{count:,} in {_pair(name)}" for name, count in self.groups.items() if count]
            lines.append(f"groups: {self.group_count:,}, {', '.join(shared) or 'none of them in two splits'}")
        return lines


class Copies(NamedTuple):
    """Numbers of the images of each split, int64 (N,), as ``identify`` gives them."""

    exact: dict[str, np.ndarray]
    turned: dict[str, np.ndarray]


def find_copies(splits: Mapping[str, Split]) -> Copies:
    """Compare the images of the three splits."""
    return Copies(*(by_split(ids, splits) for ids in identify([splits[name].images for name in SPLITS])))


def audit(splits: Mapping[str, Split], groups: Mapping[str, np.ndarray], compared: Copies) -> Audit:
    """Audit the three splits; ``groups`` has the names of the images' groups per split, or is empty."""
    exact, turned = compared
    copies, all_copies = _count(exact), _count(turned)
    labels = np.concatenate([splits[name].labels for name in SPLITS])
    ids = np.concatenate([turned[name] for name in SPLITS])
    distinct = np.unique(np.stack([ids, labels]), axis=1)[0]
    found, labels_per_image = np.unique(distinct, return_counts=True)
    names = {name: set(filter(None, groups[name].tolist())) for name in groups}
    return Audit(
        copies=copies,
        turned={name: all_copies[name] - count for name, count in copies.items()},
        conflicts=int(np.isin(ids, found[labels_per_image > 1]).sum()),
        group_count=len(set().union(*names.values())),
        groups={f"{a}_{b}": len(names[a] & names[b]) for a, b in PAIRS} if names else {},
    )


def by_split(values: np.ndarray, splits: Mapping[str, Split]) -> dict[str, np.ndarray]:
    """Cut values of all images, in the order of train, val and test, into one array per split."""
    ends = np.cumsum([len(splits[name].labels) for name in SPLITS])[:-1]
    return dict(zip(SPLITS, np.split(values, ends), strict=True))


def identify(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Number the images of several arrays, each uint8 (N, S, S, C), by their content.

    Returns:
        Two arrays, int64 (sum of N,). In the first, images have the same number if their pixels are equal; in the
        second, if they are equal after rotation by a multiple of 90 degrees or reflection.
    """
    # Sums over pixels are the same for all eight views. Only images that share them need digests.
    sums = np.concatenate([np.einsum("nhwc->nc", array, dtype=np.int64) for array in arrays])
    _, inverse, counts = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    exact, turned = np.arange(len(sums)), np.arange(len(sums))
    starts = np.cumsum([0, *map(len, arrays)])
    first_exact, first_turned = dict[bytes, int](), dict[bytes, int]()
    for index in np.flatnonzero(counts[inverse.reshape(-1)] > 1).tolist():
        place = int(np.searchsorted(starts, index, side="right")) - 1
        image = arrays[place][index - starts[place]]
        digests = [hashlib.blake2b(view.tobytes(), digest_size=16).digest() for view in _views(image)]
        exact[index] = first_exact.setdefault(digests[0], index)
        turned[index] = first_turned.setdefault(min(digests), index)
    return exact, turned


def _views(image: np.ndarray) -> Iterator[np.ndarray]:
    for turns in range(4):
        turned = np.rot90(image, turns)
        yield turned
        yield turned[:, ::-1]


def _count(ids: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Count copies within each split and, for each pair of splits, images of the second that are in the first."""
    within = {name: len(ids[name]) - len(np.unique(ids[name])) for name in SPLITS}
    return within | {f"{a}_{b}": int(np.isin(ids[b], ids[a]).sum()) for a, b in PAIRS}


def _copies(kind: str, counts: Mapping[str, int]) -> str:
    found = [_clause(name, count) for name, count in counts.items() if count]
    return f"{kind}: {', '.join(found) or 'none'}"


def _clause(name: str, count: int) -> str:
    first, _, second = name.partition("_")
    return f"{count:,} of {second} also in {first}" if second else f"{count:,} within {first}"


def _pair(name: str) -> str:
    return " and ".join(name.split("_"))


def standard_error(score: float, counts: Sequence[int]) -> float:
    """Return the standard error of a macro-F1 on a split with ``counts`` images per class.

    It is that of the mean recall if every class has the recall ``score``: the root of the mean over K classes of
    ``score (1 - score) / (K n)``. Differences of two scores on the same images are less uncertain.
    """
    return math.sqrt(score * (1 - score) * sum(1 / count for count in counts)) / len(counts)


def small_split_note(counts: Sequence[int], folds: int | None = None) -> str:
    """Return a sentence on the standard error of validation scores if it is above 0.01, else an empty string.

    ``counts`` are the scored images per class: those of the validation split, or of all ``folds``.
    """
    error = standard_error(_TYPICAL, counts)
    if error <= _SMALL:
        return ""
    where, their = (f"the {folds} folds have", "their") if folds else ("the validation split has", "its")
    return (
        f"{where} {plural(sum(counts), 'image')}, {min(counts):,} in {their} smallest class: a macro-F1 "
        f"of {_TYPICAL} has a standard error of about {error:.3f}, so smaller differences between trials mean little"
    )
