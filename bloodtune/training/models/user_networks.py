"""Networks of the user's own, ``package.module:function``: imported, called, found on disk."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bloodtune.errors import InputError, describe
from bloodtune.space.families import builder_of, is_own


def load_builder(family: str) -> Callable[..., Any]:
    """Return the function that builds the networks of a family.

    Raises:
        InputError: its module cannot be imported, or has no such function.
    """
    module, _, name = builder_of(family).partition(":")
    try:
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # whatever the module raises
        raise InputError(f"family = {family!r}: {module} cannot be imported: {describe(error)}") from None
    if not callable(function):
        raise InputError(f"family = {family!r}: module {module} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function takes a keyword argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function in C without a signature
        return True
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def call_own(family: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network that the user's function builds.

    Raises:
        InputError: the function raises, or returns no module of PyTorch.
    """
    call = f"{family.partition(':')[2]}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    try:
        network = function(**arguments)
    except Exception as error:  # whatever the function raises
        raise InputError(f"family = {family!r}: {call} failed: {describe(error)}") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"family = {family!r}: {call} returned {type(network).__name__}, expected torch.nn.Module")
    return network


def source_digest(family: str) -> str:
    """Return a digest of the module of the user's network; an empty string for a built-in family.

    A cached retraining is valid for this source only. The digest leaves out the modules that it imports.
    """
    if not is_own(family):
        return ""
    try:
        spec = importlib.util.find_spec(family.partition(":")[0])
    except Exception:  # from importing a parent package; building a network raises it again
        return ""
    is_file = bool(spec and spec.origin and Path(spec.origin).is_file())
    return hashlib.sha256(Path(str(spec.origin)).read_bytes()).hexdigest() if spec and is_file else ""


def sources_to_send(families: Iterable[str]) -> list[str]:
    """Return the files and folders of the user's networks that are not installed, such as a module beside the recipe.

    Other hosts cannot import such a module; Ray's ``py_modules`` sends it to them.
    """
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    found = []
    for family in filter(is_own, families):
        spec = importlib.util.find_spec(family.partition(":")[0].partition(".")[0])
        places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
        place = next((Path(one).resolve() for one in places if one), None)
        if place and place.exists() and not any(place.is_relative_to(folder) for folder in installed):
            found.append(str(place))
    return list(dict.fromkeys(found))
