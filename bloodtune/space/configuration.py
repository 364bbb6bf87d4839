"""Configuration: the hyperparameters of one training, with their types, bounds, choices and conditions."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bloodtune.errors import InputError, unknown_name
from bloodtune.space.families import SHAPE_FIELDS, check_family, families_with, is_own

LOSSES = ("cross_entropy", "nll", "weighted_cross_entropy", "focal", "label_smoothing")
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "one_cycle", "cosine")
NORMALIZATIONS = ("zscore", "minmax", "image", "reinhard")

CHOICES = {
    "normalization": NORMALIZATIONS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}

# Conditional field: (deciding field, its values that require the conditional field). Otherwise the field must be None.
_CONDITIONS = {
    **{name: ("family", families_with(name)) for name in SHAPE_FIELDS},
    "label_smoothing": ("loss", ("label_smoothing",)),
    "focal_gamma": ("loss", ("focal",)),
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
}

# Field: (lowest, highest) allowed value, both included. Recipes search narrower ranges.
BOUNDS = {
    "hidden_layers": (1, 8),
    "hidden_size": (8, 8192),
    "width": (4, 512),
    "depth": (1, 16),
    "dropout": (0.0, 0.9),
    "label_smoothing": (0.0, 0.5),
    "focal_gamma": (0.0, 10.0),
    "learning_rate": (1e-7, 100.0),
    "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 10.0),
    "batch_size": (2, 65536),
    "shift": (0, 7),  # pixels; reflection padding must be smaller than the smallest image, 8 pixels
    "stain": (0.0, 0.5),
    "cutout": (0, 16),
    "rotation": (0.0, 180.0),
    "scale": (0.0, 1.0),
    "colour": (0.0, 1.0),
    "blur": (0.0, 1.0),
    "mixup": (0.0, 1.0),
    "cutmix": (0.0, 1.0),
    "ema": (0.0, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The hyperparameters of one training. A field that does not apply is None.

    ``hidden_layers`` and ``hidden_size`` (units) shape the MLNN. ``width`` is the number of channels of the first
    convolution of the other families, and ``depth`` the number of blocks in each stage of the ResNet.
    ``normalization`` scales the pixels: ``zscore`` by the mean and standard deviation of each channel, ``minmax`` to
    the range -1 to 1 as in MedMNIST's examples, ``image`` by the mean and standard deviation of each channel of each
    image, ``reinhard`` as ``zscore`` once each image has the stain of the training images. ``learning_rate`` is the
    peak of the schedule.

    The value 0 switches each of the following off. ``shift`` and ``cutout`` are pixels, ``stain`` is the standard
    deviation of the optical-density jitter, ``rotation`` is the largest angle in degrees, and ``scale`` the largest
    change of size: 0.5 draws factors between 1 / 1.5 and 1.5. ``colour`` and ``blur`` are the shares of the images
    that lose some of their colour or sharpness. ``mixup`` and ``cutmix`` are the largest shares of another image.
    ``ema`` is the averaging window as a share of the steps taken so far.

    Raises:
        InputError: a value is outside its range or choices, a required field is missing, or a field is given that
            does not apply.
    """

    family: str
    hidden_layers: int | None = None
    hidden_size: int | None = None
    width: int | None = None
    depth: int | None = None
    normalization: str = "zscore"
    dropout: float = 0.0
    loss: str = "cross_entropy"
    label_smoothing: float | None = None
    focal_gamma: float | None = None
    optimizer: str
    learning_rate: float
    momentum: float | None = None
    nesterov: bool | None = None
    weight_decay: float = 0.0
    batch_size: int = 128
    schedule: str = "constant"
    dihedral: bool = False
    shift: int = 0
    stain: float = 0.0
    cutout: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        for name in FIELD_NAMES:
            check_value(name, getattr(self, name))
        for name, (decider, values) in _CONDITIONS.items():
            if decider == "family" and is_own(self.family):
                continue  # a user's own network may take any of them
            applies = getattr(self, decider) in values
            if applies and getattr(self, name) is None:
                raise InputError(f"{name} is missing: {decider} = {getattr(self, decider)!r} needs it")
            if not applies and getattr(self, name) is not None:
                raise InputError(
                    f"{name} = {getattr(self, name)!r} does not apply to {decider} = "
                    f"{getattr(self, decider)!r}, only to {', '.join(values)}"
                )
        if self.nesterov and not self.momentum:
            raise InputError("nesterov = true needs momentum above 0")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Configuration:
        """Build a configuration from names and values; None means that a field does not apply.

        Raises:
            InputError: a name is unknown, a required field is missing, or a value is not allowed.
        """
        if not isinstance(mapping, Mapping):
            raise InputError(f"the configuration is of type {type(mapping).__name__}; expected names with values")
        for name in mapping:
            if name not in FIELD_NAMES:
                raise InputError(unknown_name("hyperparameter", name, FIELD_NAMES))
        missing = [name for name in _REQUIRED if mapping.get(name) is None]
        if missing:
            raise InputError(f"{', '.join(missing)} missing from the configuration")
        return cls(**{name: value for name, value in mapping.items() if value is not None})

    def to_mapping(self) -> dict[str, Any]:
        """Return the names and values of the fields that apply, in the order of the fields."""
        return {name: value for name in FIELD_NAMES if (value := getattr(self, name)) is not None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Configuration:
        """Return this configuration itself: it is immutable, and Ray Tune deep-copies it several times per trial."""
        return self


_TYPES = {name: typing.get_args(hint) or (hint,) for name, hint in typing.get_type_hints(Configuration).items()}
_REQUIRED = tuple(f.name for f in dataclasses.fields(Configuration) if f.default is dataclasses.MISSING)
FIELD_NAMES = tuple(_TYPES)
INTEGER_FIELDS = frozenset(name for name, types in _TYPES.items() if types[0] is int)


def check_value(name: str, value: Any) -> None:
    """Check the value of one hyperparameter by itself.

    Raises:
        InputError: ``value`` has the wrong type, or is outside the range or choices of the field ``name``.
    """
    expected = _TYPES[name][0]
    if value is None and type(None) in _TYPES[name]:
        return
    fits: bool = isinstance(value, (int, float) if expected is float else expected)
    if not fits or (isinstance(value, bool) and expected is not bool):
        raise InputError(f"{name} = {value!r}: expected {expected.__name__}, got {type(value).__name__}")
    if name == "family":
        check_family(value)
    if name in CHOICES and value not in CHOICES[name]:
        raise InputError(unknown_name(name, value, CHOICES[name]))
    if name in BOUNDS:
        low, high = BOUNDS[name]
        if not low <= value <= high:  # also refuses NaN
            raise InputError(f"{name} = {value!r}: allowed from {low} to {high}")


def describe(configuration: Configuration) -> str:
    """Return a configuration in one line; fields that are off and a constant schedule are left out."""
    words = []
    for name, value in configuration.to_mapping().items():
        if not value or value == "constant":
            continue
        text = f"{value:.2g}" if isinstance(value, float) else str(value)
        readable = name.replace("learning_rate", "rate").replace("_", " ")
        words.append(readable if value is True else text if isinstance(value, str) else f"{readable} {text}")
    return ", ".join(words)
