"""Families of networks: the table FAMILIES, and families of one's own (``package.module:function``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bloodtune.errors import InputError, unknown_name

# Hyperparameters that shape a network; each family takes some of them. All families take dropout.
SHAPE_FIELDS = ("hidden_layers", "hidden_size", "width")

_OWN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class Family:
    """One family of networks.

    ``builder`` names the function that builds a network, as ``package.module:function``; nothing imports it before a
    network is built, so that torch stays out of the space. It is called with ``channels``, ``classes``, ``size``
    (pixels), ``dropout`` and the hyperparameters in ``takes``, all by keyword, and returns a module from normalized
    images (N, ``channels``, ``size``, ``size``) to logits (N, ``classes``). ``epoch_cost`` is the seconds of an epoch
    on one busy core at the widths that most trainings have, roughly: the longest trainings are started first.
    """

    builder: str
    takes: tuple[str, ...]
    epoch_cost: int


# The one place to add a network. Kinds and bounds of the hyperparameters are in ``configuration``.
_MODELS = "bloodtune.training.models"
FAMILIES = {
    "mlnn": Family(f"{_MODELS}.mlnn:mlnn", ("hidden_layers", "hidden_size"), epoch_cost=5),
    "cnn": Family(f"{_MODELS}.cnn:cnn", ("width",), epoch_cost=7),
    "lightweight": Family(f"{_MODELS}.lightweight:lightweight", ("width",), epoch_cost=15),
    "residual": Family(f"{_MODELS}.residual:residual", ("width",), epoch_cost=10),
}


def is_own(family: str) -> bool:
    """Whether a family is a function of the user's own, ``package.module:function``."""
    return ":" in family


def check_family(family: str) -> None:
    """Check the name of a family; nothing is imported.

    Raises:
        InputError: it is neither in the table nor of the form ``package.module:function``.
    """
    if is_own(family):
        if not _OWN.fullmatch(family):
            raise InputError(f"family = {family!r}: a network of one's own is named package.module:function")
    elif family not in FAMILIES:
        raise InputError(unknown_name("family", family, tuple(FAMILIES)))


def builder_of(family: str) -> str:
    """Return the function that builds a family's networks, as ``package.module:function``."""
    return family if is_own(family) else FAMILIES[family].builder


def families_with(field: str) -> tuple[str, ...]:
    """Return the families of the table that take a hyperparameter of ``SHAPE_FIELDS``; one's own may take any."""
    return tuple(name for name, family in FAMILIES.items() if field in family.takes)


def epoch_cost(family: str) -> int:
    """Return the rough seconds of an epoch; of an unknown network those of the slowest known one."""
    known = FAMILIES.get(family)
    return known.epoch_cost if known else max(one.epoch_cost for one in FAMILIES.values())
