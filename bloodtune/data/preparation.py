"""Preparation: how a folder of photographs becomes a data set, as the options of a search ask for it."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bloodtune.errors import InputError

SIZE, MIN_SIZE, MAX_SIZE = 28, 8, 512
SPLITS_FILE = "splits.csv"


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The way from photographs to images, and the choice of images.

    ``drop_copies`` and ``folds`` (their number, or None) apply to every data set, the other fields to folders only.
    ``size`` is the side of an image in pixels (None: 28). ``crop`` is the side in pixels of the square that is cut from
    the middle of each photograph; None is the rule of ``photographs.read_tile``. ``without`` are classes to leave out.
    ``seed`` is used where splits or folds are drawn. ``splits`` is the path of a ``splits.csv`` that gives the split of
    every photograph.

    Raises:
        InputError: ``size``, ``crop`` or ``folds`` is out of range.
    """

    size: int | None = None
    crop: int | None = None
    skip_unreadable: bool = False
    drop_copies: bool = False
    without: tuple[str, ...] = ()
    folds: int | None = None
    seed: int = 0
    splits: str | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            if not isinstance(value := getattr(self, name), kind):
                raise InputError(f"{name} = {value!r}: expected {getattr(kind, '__name__', kind)}")
        if not all(isinstance(name, str) for name in self.without):
            raise InputError(f"without = {self.without!r}: expected names of classes")
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}: allowed are whole numbers from 0")
        if self.size is not None and not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(f"--size {self.size}: allowed are {MIN_SIZE} to {MAX_SIZE} pixels")
        if self.crop is not None and self.crop < MIN_SIZE:
            raise InputError(f"--crop {self.crop}: allowed are {MIN_SIZE} pixels and more")
        if self.folds is not None and self.folds < 2:
            raise InputError(f"--folds {self.folds}: allowed are 2 and more")

    @classmethod
    def recorded(cls, data: Mapping[str, Any], run: Path) -> Preparation:
        """Return the preparation of a run; ``data`` is that entry of its ``provenance.json``, ``run`` its folder."""
        known = dict(data.get("preparation", {}))
        splits = str(run / SPLITS_FILE) if (run / SPLITS_FILE).exists() else None
        return cls(**known | {"without": tuple(known.get("without", ())), "splits": splits})

    @property
    def side(self) -> int:
        """The side of an image in pixels."""
        return self.size or SIZE

    def check_no_folder(self, source: str) -> None:
        """Check that nothing is asked for that only a folder of photographs can give."""
        for name in ("size", "crop", "skip_unreadable", "without"):
            value = getattr(self, name)
            if value not in (None, False, ()):
                text = "" if value is True else f" {', '.join(value) if name == 'without' else value}"
                flag = f"--{name.replace('_', '-')}{text}"
                raise InputError(f"{flag}: allowed only with a folder of photographs, and {source} is none")

    def to_mapping(self) -> dict[str, Any]:
        """Return all fields but ``splits``, whose place changes with the run."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "splits"}


_KINDS: dict[str, Any] = typing.get_type_hints(Preparation) | {"without": tuple}
