"""Recipe files: TOML with `extends` and `enqueue`, read and checked field by field."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from bloodtune.errors import InputError, one_line, unknown_name
from bloodtune.space.configuration import FIELD_NAMES, Configuration
from bloodtune.space.parameter import Parameter, combinations, parameter_values
from bloodtune.space.recipe import SAMPLERS, Asha, Enqueued, Recipe, is_whole

# The folder of the shipped recipes: inside an installed package, beside the package in a checkout.
_INSTALLED = Path(__file__).resolve().parents[1] / "recipes"
BOOK = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / "search"


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes: the files of ``search/`` but papers.toml, which they enqueue."""
    return sorted({file.stem for file in BOOK.glob("*.toml")} - {"papers"})


def load_recipe(path_or_name: str, *, max_epochs: int | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path_or_name: a path such as ``search/default.toml``, or the name of a shipped recipe such as ``mlnn``.
        max_epochs: replaces the recipe's own value. A first rung above it, or at the recipe's last epoch, moves to it.

    Raises:
        InputError: the file is missing or malformed, or a field is unknown or out of range. The message names the
            file and the field.
    """
    file = _find(path_or_name)
    return _parse(_read(file), file, max_epochs)


def load_enqueued(file: Path) -> tuple[Enqueued, ...]:
    """Read the configurations of a file such as ``search/papers.toml``.

    Raises:
        InputError: the file is missing or malformed, or a configuration is not allowed.
    """
    return _parse_enqueued(_read_toml(file), file)


def _find(path_or_name: str) -> Path:
    for candidate in (Path(path_or_name), BOOK / path_or_name.removeprefix("search/"), BOOK / f"{path_or_name}.toml"):
        if os.path.isfile(candidate):  # Path.is_file raises if a name is too long
            return candidate
    raise InputError(
        f"no recipe {path_or_name!r}: give a path, or one of {', '.join(recipe_names()) or '(none found)'}"
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        _check_whole_numbers(content)
        return content
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{file}: not a valid TOML file: it is nested too deeply") from None
    except ValueError as error:  # of a number with thousands of digits too
        raise InputError(f"{file}: not a valid TOML file: {one_line(error)}") from None


def _check_whole_numbers(value: Any) -> None:
    # Those of TOML have 64 bits; Python reads larger ones, and cannot print the largest.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_whole_numbers(inner)


def _read(file: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    # Returns the recipe with the content of all files that it extends and enqueues.
    content = _read_toml(file)
    if (name := content.pop("extends", None)) is not None:
        base = _beside(file, name)
        if base.resolve() in (file.resolve(), *extended_by):
            raise InputError(f"{file}: extends {name!r}, which extends it")
        content = _merge(_read(base, (file.resolve(), *extended_by)), content)
    if (name := content.pop("enqueue", None)) is not None:
        other = _beside(file, name)
        enqueued = _read_toml(other)
        _check_keys(enqueued, ("configuration",), f"{other}")
        _parse_enqueued(enqueued, other)
        content["configuration"] = [*_entries(content, file), *_entries(enqueued, other)]
    return content


def _beside(file: Path, name: Any) -> Path:
    # A user's recipe may extend a shipped one in another folder.
    for other in (file.parent / str(name), BOOK / str(name)):
        if os.path.isfile(other):
            return other
    raise InputError(f"{file}: no file {str(name)!r} beside it or among the shipped recipes")


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    # [space], [sampler] and [asha] are merged key by key; the table of a parameter is replaced.
    merged = dict(base)
    for key, value in changes.items():
        if key in ("space", "sampler", "asha") and isinstance(merged.get(key), dict) and isinstance(value, dict):
            merged[key] = _drop_replaced(merged[key], value) | value
        else:
            merged[key] = value
    return merged


def _drop_replaced(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    # Of [asha], `first_rung` and `rungs` take each other's place.
    other = {"first_rung": "rungs", "rungs": "first_rung"}
    return {name: value for name, value in base.items() if other.get(name) not in changes}


def _parse(content: dict[str, Any], file: Path, max_epochs: int | None) -> Recipe:
    _check_keys(content, ("description", "sampler", "asha", "space", "configuration"), f"{file}")
    sampler = _table(content, "sampler", file)
    _check_keys(sampler, ("name", "startup_trials"), f"{file}: sampler")
    name, startup = sampler.get("name"), sampler.get("startup_trials", 0)
    if name not in SAMPLERS:
        raise InputError(f"{file}: sampler.name = {name!r}: allowed are {', '.join(SAMPLERS)}")
    if not is_whole(startup, 0):
        raise InputError(f"{file}: sampler.startup_trials = {startup!r}: allowed are whole numbers from 0")
    asha = _parse_asha(_table(content, "asha", file), file, max_epochs)
    parameters = _parse_space(_table(content, "space", file), file)
    families = [value for p in parameters if p.field == "family" for value in p.choices or ()]
    enqueued = tuple(e for e in _parse_enqueued(content, file) if e.configuration.family in families)
    if name == "enqueued" and not enqueued:
        raise InputError(f"{file}: sampler.name = 'enqueued' needs at least one [[configuration]]")
    for entry in enqueued:
        try:
            parameter_values(entry.configuration, parameters)
        except InputError as error:
            hint = "widen the space, or leave out the configurations with `configuration = []`"
            raise InputError(f"{file}: configuration {entry.label!r}: {error}; {hint}") from None
    text = content | {
        "asha": asha.to_mapping(),
        "configuration": [entry for entry in _entries(content, file) if entry["family"] in families],
    }
    return Recipe(
        description=str(content.get("description", "")),
        sampler=name,
        startup_trials=startup,
        asha=asha,
        parameters=parameters,
        enqueued=enqueued,
        text=tomli_w.dumps(text),
    )


def _parse_asha(table: dict[str, Any], file: Path, max_epochs: int | None) -> Asha:
    fields = tuple(field.name for field in dataclasses.fields(Asha))
    _check_keys(table, fields, f"{file}: asha")
    missing = [field for field in ("max_epochs", "reduction_factor") if field not in table]
    if missing:
        raise InputError(f"{file}: asha: {', '.join(missing)} missing")
    if ("first_rung" in table) == ("rungs" in table):
        raise InputError(f"{file}: asha: one of first_rung and rungs must be given, and not both")
    values: dict[str, Any] = {"first_rung": None, **table}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        asha = Asha(**values)
        return asha if max_epochs is None else asha.with_max_epochs(max_epochs)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _parse_space(space: dict[str, Any], file: Path) -> tuple[Parameter, ...]:
    keys = tuple(field.name for field in dataclasses.fields(Parameter) if field.name != "name")
    parameters: list[Parameter] = []
    for name, entry in space.items():
        where = f"{file}: space.{name}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected a table, got {entry!r}")
        _check_keys(entry, keys, where)
        when = entry.get("when", {})
        if not isinstance(when, dict):
            raise InputError(f"{where}: when = {when!r}: expected a table such as {{ optimizer = 'sgd' }}")
        known = {parameter.field for parameter in parameters}
        for field in when:
            if field not in known:
                raise InputError(f"{where}: when.{field} must be set by a parameter above it")
        try:
            parameters.append(_build_parameter(name, entry))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    try:
        for values in combinations(parameters):
            Configuration.from_mapping(values)
    except InputError as error:
        raise InputError(f"{file}: space: {error}") from None
    return tuple(parameters)


def _build_parameter(name: str, entry: dict[str, Any]) -> Parameter:
    when = {
        field: tuple(values) if isinstance(values, list) else (values,)
        for field, values in entry.get("when", {}).items()
    }
    choices = entry.get("choices")
    if choices is not None and not isinstance(choices, list):
        raise InputError(f"choices = {choices!r}: expected a list")
    rest = {key: value for key, value in entry.items() if key not in ("when", "choices", "field", "source")}
    source, field = str(entry.get("source", "")), entry.get("field", name)
    return Parameter(name, field, source, when=when, choices=None if choices is None else tuple(choices), **rest)


def _parse_enqueued(content: dict[str, Any], file: Path) -> tuple[Enqueued, ...]:
    enqueued = []
    for number, entry in enumerate(_entries(content, file), start=1):
        where = f"{file}: configuration {number}"
        if not isinstance(entry, dict) or not entry.get("label") or not entry.get("source"):
            raise InputError(f"{where} needs a label and a source")
        epochs = entry.get("epochs")
        if epochs is not None and not is_whole(epochs, 1):
            raise InputError(f"{where}: epochs = {epochs!r}: allowed are whole numbers from 1")
        values = {key: value for key, value in entry.items() if key in FIELD_NAMES}
        _check_keys(entry, ("label", "source", "epochs", *FIELD_NAMES), where)
        try:
            configuration = Configuration.from_mapping(values)
        except InputError as error:
            raise InputError(f"{where} ({entry['label']}): {error}") from None
        enqueued.append(Enqueued(" ".join(str(entry["label"]).split()), str(entry["source"]), configuration, epochs))
    return tuple(enqueued)


def _entries(content: dict[str, Any], file: Path) -> list[Any]:
    entries = content.get("configuration", [])
    if not isinstance(entries, list):
        raise InputError(f"{file}: configuration = {entries!r}: expected [[configuration]] tables")
    return entries


def _table(content: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    table = content.get(key)
    if not isinstance(table, dict):
        raise InputError(f"{file}: table [{key}] is missing")
    return table


def _check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise InputError(f"{where}: {unknown_name('key', key, allowed)}")
