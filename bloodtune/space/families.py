"""Families of networks: the table FAMILIES, and the user's own networks (``package.module:function``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bloodtune.errors import InputError, unknown_name

# Hyperparameters of a network's shape; each family takes some of them. All families take dropout.
SHAPE_FIELDS = ("hidden_layers", "hidden_size", "width", "depth")

_OWN_NETWORK = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class Family:
    """One family of networks.

    ``builder`` names the function that builds a network, as ``package.module:function``. It is imported only when a
    network is built, so that this package does not import torch. The function takes ``channels``, ``classes``,
    ``size`` (pixels), ``dropout`` and the hyperparameters in ``takes``, all by keyword. It returns a module from
    normalized images (N, ``channels``, ``size``, ``size``) to logits (N, ``classes``). ``epoch_cost`` is the rough
    number of seconds per epoch on one busy core at common widths; the longest trainings start first.
    """

    builder: str
    takes: tuple[str, ...]
    epoch_cost: int


# Add a network here. The types and bounds of hyperparameters are in ``configuration``.
_MODELS = "bloodtune.training.models"
FAMILIES = {
    "mlnn": Family(f"{_MODELS}.mlnn:mlnn", ("hidden_layers", "hidden_size"), epoch_cost=5),
    "cnn": Family(f"{_MODELS}.cnn:cnn", ("width",), epoch_cost=7),
    "lightweight": Family(f"{_MODELS}.lightweight:lightweight", ("width",), epoch_cost=15),
    "residual": Family(f"{_MODELS}.residual:residual", ("width",), epoch_cost=10),
    "resnet": Family(f"{_MODELS}.resnet:resnet", ("width", "depth"), epoch_cost=25),
}


def is_own(family: str) -> bool:
    """Return whether a family is the user's own network, ``package.module:function``."""
    return ":" in family


def check_family(family: str) -> None:
    """Check the name of a family without importing anything.

    Raises:
        InputError: ``family`` is neither in ``FAMILIES`` nor of the form ``package.module:function``.
    """
    if is_own(family):
        if not _OWN_NETWORK.fullmatch(family):
            raise InputError(f"family = {family!r}: expected package.module:function for a network of your own")
    elif family not in FAMILIES:
        raise InputError(unknown_name("family", family, tuple(FAMILIES)))


def builder_of(family: str) -> str:
    """Return the name of the function that builds a family's networks, as ``package.module:function``."""
    return family if is_own(family) else FAMILIES[family].builder


def families_with(field: str) -> tuple[str, ...]:
    """Return the families in ``FAMILIES`` that take a hyperparameter of ``SHAPE_FIELDS``."""
    return tuple(name for name, family in FAMILIES.items() if field in family.takes)


def epoch_cost(family: str) -> int:
    """Return the rough number of seconds per epoch; for the user's own network, that of the slowest family."""
    known = FAMILIES.get(family)
    return known.epoch_cost if known else max(entry.epoch_cost for entry in FAMILIES.values())
