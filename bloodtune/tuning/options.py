"""The options of a search, checked: the one source of its command line, of ``run_search`` and of their help texts."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bloodtune import command_line as flags
from bloodtune.data.preparation import SIZE
from bloodtune.errors import InputError
from bloodtune.monitoring.trackers import TRACKERS
from bloodtune.run.directory import RUNS
from bloodtune.training.numerics import AUTO, PRECISIONS

DEFAULT_BUDGET = 64
DEFAULT_RECIPE = "search/default.toml"
WARM_START = 5  # configurations of another run that are tried first, at most
EPOCH_LIMIT = 1800.0
CHECKPOINT_EVERY = 30.0

WHAT, DATA, WHERE, FILES = "what to search", "the images", "where to run", "the run directory"


@dataclass(frozen=True)
class Kind:
    """A kind of value: ``parse`` reads its text on the command line, ``admits`` checks it, ``allowed`` describes it."""

    parse: Callable[[str], Any]
    admits: Callable[[Any], bool]
    allowed: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()


def _is_whole(low: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


TEXT = Kind(str, lambda value: isinstance(value, str), "text")
NAME = dataclasses.replace(TEXT, metavar="NAME")
COUNT = Kind(flags.positive, _is_whole(1), "whole numbers from 1", "N")
SEED = Kind(flags.seed, _is_whole(0), "whole numbers from 0", "N")
TIME = Kind(flags.duration, _is_number(sys.float_info.min, math.inf), "seconds above 0", "TIME")
SHARE = Kind(flags.share, _is_number(0.0, 1.0), "numbers from 0 to 1", "X")
CLASSES = Kind(
    str, lambda value: isinstance(value, tuple) and all(isinstance(name, str) for name in value), "class names", "CLASS"
)
SWITCH = Kind(bool, lambda value: isinstance(value, bool), "True and False")


def one_of(*names: str) -> Kind:
    """Return the kind of a choice among names."""
    return Kind(str, lambda value: value in names, ", ".join(names), choices=names)


def several_of(*names: str) -> Kind:
    """Return the kind of any number of choices among names; the command line repeats the flag."""
    return Kind(
        str, lambda value: isinstance(value, tuple) and set(value) <= set(names), ", ".join(names), choices=names
    )


def _option(default: Any, group: str, kind: Kind, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"group": group, "kind": kind, "help": text})


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options of a search. None stands for a default that depends on the machine, the data or the run.

    Raises:
        InputError: a value is not allowed; the message names the option.
    """

    recipe: str | None = _option(
        None,
        WHAT,
        TEXT,
        f"a TOML file, or default, published, record, imagenet, mlnn, cnn, random or smoke (default: {DEFAULT_RECIPE})",
    )
    budget: int | None = _option(None, WHAT, COUNT, f"configurations to try (default: {DEFAULT_BUDGET})")
    data: str | None = _option(
        None,
        WHAT,
        TEXT,
        "a folder of photographs (docs/data.md), an .npz file in MedMNIST's layout, a MedMNIST name such as "
        "bloodmnist_64, or synthetic (default: $BLOODTUNE_DATA, else the official BloodMNIST file; for a resumed run "
        "its own)",
    )
    size: int | None = _option(None, DATA, COUNT, f"side in pixels of the images made of photographs (default: {SIZE})")
    crop: int | None = _option(
        None,
        DATA,
        COUNT,
        "cut the middle N x N pixels from every photograph; smaller ones are unusable (default: 200 of smear crops of "
        "about 360 x 363)",
    )
    without: tuple[str, ...] = _option((), DATA, CLASSES, "leave out a class of the folder; may be repeated")
    skip_unreadable: bool = _option(
        False,
        DATA,
        SWITCH,
        "leave out unreadable photographs, rows without a file and files without a row, even more than 1 %",
    )
    drop_copies: bool = _option(
        False,
        DATA,
        SWITCH,
        "leave out training images that have a copy in another split, also turned or mirrored; with --folds, training "
        "and validation images that have one in the test split",
    )
    folds: int | None = _option(
        None,
        DATA,
        dataclasses.replace(COUNT, metavar="K"),
        "score a trial on K folds of the training and validation images in place of the validation split; each trial "
        "trains K networks (docs/data.md)",
    )
    warm_start: str | None = _option(
        None,
        WHAT,
        NAME,
        f"try the best configurations of that run first, {WARM_START} at most: those in this recipe's space that "
        "trained longest; the run may be on other data",
    )
    max_epochs: int | None = _option(None, WHAT, COUNT, "epochs per trial, in place of the recipe's")
    time_budget: float | None = _option(None, WHAT, TIME, "stop after 90s, 30m or 2h, for example; --resume continues")
    epoch_limit: float = _option(
        EPOCH_LIMIT, WHAT, TIME, "fail a trial that takes longer than this for one epoch (default: 30m)"
    )
    seed: int | None = _option(None, WHAT, SEED, "seed of all random draws (default: 0)")
    workers: int | None = _option(None, WHERE, COUNT, "simultaneous trials (default: as many as fit and gain speed)")
    gpus_per_trial: float | None = _option(
        None, WHERE, SHARE, "share of a GPU per trial, such as 0.25 (default: measured where there are GPUs, else 0)"
    )
    precision: str | None = _option(
        None,
        WHERE,
        one_of(AUTO, *PRECISIONS),
        "precision of training and validation (default: auto, the fastest one, measured once per machine)",
    )
    address: str | None = _option(
        None,
        WHERE,
        TEXT,
        "address of a running Ray cluster, or auto; the head of a `ray up` cluster joins its own by default, other "
        "machines start Ray",
    )
    name: str | None = _option(
        None, FILES, TEXT, "name of the run; -synthetic is added on synthetic data (default: date, time and data)"
    )
    out: str = _option(RUNS, FILES, dataclasses.replace(TEXT, metavar="DIR"), f"folder of runs (default: {RUNS})")
    storage: str | None = _option(
        None,
        FILES,
        dataclasses.replace(TEXT, metavar="URI"),
        "keep a copy of the run at this address, at most a minute behind: s3://bucket/runs, gs://..., or a folder; "
        "--resume fetches the run from there if it is not in --out",
    )
    track: tuple[str, ...] = _option(
        (),
        FILES,
        several_of(*sorted(TRACKERS)),
        "also send the search to this tracker; TensorBoard opens the run directory as it is",
    )
    resume: str | None = _option(None, FILES, NAME, "continue a run in --out; a larger --budget extends it")
    checkpoint_every: float = _option(
        CHECKPOINT_EVERY,
        FILES,
        TIME,
        "time between checkpoints of a trial, which continues from the last one after a crash (default: 30s)",
    )
    profile: bool = _option(False, FILES, SWITCH, "print where the time went, and write profile.csv")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.metadata["kind"]
            if not ((value is None and field.default is None) or kind.admits(value)):
                raise InputError(f"{field.name} = {value!r}: allowed are {kind.allowed}")
