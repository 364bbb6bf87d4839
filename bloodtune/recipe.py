"""A recipe: what to search, read from TOML into frozen dataclasses with every field checked."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from bloodtune.configuration import CHOICES, FIELD_NAMES, Configuration, unknown_name
from bloodtune.errors import InputError

# The recipe book of the checkout; an installed package finds recipes by path only.
BOOK = Path(__file__).resolve().parent.parent / "search"

SAMPLERS = ("tpe", "random", "enqueued")


@dataclass(frozen=True)
class Parameter:
    """One searched hyperparameter: ``choices``, or a range from ``low`` to ``high``, both included.

    ``name`` is the study's name for it and ``field`` the configuration's: two parameters may set one field
    under different conditions ``when`` (field: allowed values, all of which must hold). ``source`` says where
    the range comes from.
    """

    name: str
    field: str
    source: str
    when: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    choices: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if self.field not in FIELD_NAMES:
            raise InputError(unknown_name("hyperparameter", self.field, FIELD_NAMES))
        if not self.source:
            raise InputError("source is empty: say where the range comes from")
        is_range = self.low is not None and self.high is not None
        if (self.choices is not None) == is_range or (self.low is None) != (self.high is None):
            raise InputError("give either choices, or low and high")
        if self.choices is not None and not self.choices:
            raise InputError("choices is empty")
        if self.low is not None and self.high is not None:
            if not self.low < self.high:
                raise InputError(f"low = {self.low} must be below high = {self.high}")
            if self.log and (self.low <= 0 or self.step is not None):
                raise InputError("log = true needs low above 0 and no step")

    @property
    def is_integer(self) -> bool:
        """Whether the range is one of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Return whether the conditions hold for the fields set so far."""
        return all(values.get(field) in allowed for field, allowed in self.when.items())

    def admits(self, value: Any) -> bool:
        """Return whether ``value`` lies in the range or among the choices."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        return isinstance(value, (int, float)) and self.low <= value <= self.high


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al. 2020): ``max_epochs`` is R, ``first_rung`` r, the factor eta."""

    max_epochs: int
    first_rung: int
    reduction_factor: int

    def __post_init__(self) -> None:
        for name, low in (("max_epochs", 1), ("first_rung", 1), ("reduction_factor", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise InputError(f"asha.{name} = {value!r}: allowed are whole numbers from {low}")
        if self.first_rung > self.max_epochs:
            raise InputError(f"asha.first_rung = {self.first_rung} is above max_epochs = {self.max_epochs}")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which a trial may be stopped; empty where ``first_rung`` is the last epoch."""
        rungs, epoch = [], self.first_rung
        while epoch < self.max_epochs:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)


@dataclass(frozen=True)
class Enqueued:
    """A configuration that is tried before anything is sampled; ``epochs`` are the paper's, where it gives them."""

    label: str
    source: str
    configuration: Configuration
    epochs: int | None = None


@dataclass(frozen=True)
class Recipe:
    """What to search: the space, the sampler, ASHA's numbers and the configurations to try first.

    ``text`` is the recipe as used, in TOML, with all that it extends and enqueues written out.
    """

    description: str
    sampler: str
    startup_trials: int
    asha: Asha
    parameters: tuple[Parameter, ...]
    enqueued: tuple[Enqueued, ...]
    text: str

    @property
    def families(self) -> tuple[str, ...]:
        """The families that the space reaches."""
        return tuple(v for p in self.parameters if p.field == "family" for v in p.choices or ())

    def expected_epochs(self, budget: int) -> int:
        """Epochs of ``budget`` trials if ASHA kept just one in ``reduction_factor`` at each rung."""
        total, alive, last = 0.0, float(budget), 0
        for rung in (*self.asha.rungs, self.asha.max_epochs):
            total += alive * (rung - last)
            alive, last = max(1.0, alive / self.asha.reduction_factor), rung
        return round(total)


def load_recipe(asked: str, *, max_epochs: int | None = None) -> Recipe:
    """Read a recipe by path, or by name from the recipe book.

    Args:
        asked: a path such as ``search/default.toml``, or a name such as ``mlnn``.
        max_epochs: takes the place of the recipe's own; a first rung above it is lowered to it.

    Raises:
        InputError: the file is missing or malformed, or a field of it is unknown or out of range; the message
            names the file and the field.
    """
    file = _find(asked)
    content = _read(file)
    if max_epochs is not None:
        asha = dict(content.get("asha", {}))
        asha["max_epochs"] = max_epochs
        asha["first_rung"] = min(asha.get("first_rung", max_epochs), max_epochs)
        content["asha"] = asha
    return _parse(content, file)


def load_enqueued(file: Path) -> tuple[Enqueued, ...]:
    """Read the configurations of a file such as ``search/papers.toml``."""
    return _parse_enqueued(_read_toml(file), file)


def _find(asked: str) -> Path:
    for candidate in (Path(asked), BOOK.parent / asked, BOOK / f"{asked}.toml"):
        if candidate.is_file():
            return candidate
    names = sorted(file.stem for file in BOOK.glob("*.toml"))
    raise InputError(f"no recipe {asked!r}: give a path, or one of {', '.join(names) or '(none found)'}")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a valid TOML file: {error}") from None


def _read(file: Path) -> dict[str, Any]:
    # Gives one dictionary with what the file extends and enqueues written out.
    content = _read_toml(file)
    if base := content.pop("extends", None):
        content = _merge(_read(_beside(file, base)), content)
    if enqueue := content.pop("enqueue", None):
        content.setdefault("configuration", []).extend(_read_toml(_beside(file, enqueue)).get("configuration", []))
    return content


def _beside(file: Path, name: Any) -> Path:
    other = file.parent / str(name)
    if not other.is_file() or other.resolve() == file.resolve():
        raise InputError(f"{file}: no file {str(name)!r} beside it")
    return other


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    # Tables are merged but for a parameter's own, which is replaced as a whole.
    merged = dict(base)
    for key, value in changes.items():
        if key in ("space", "sampler", "asha") and isinstance(merged.get(key), dict):
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
    return merged


def _parse(content: dict[str, Any], file: Path) -> Recipe:
    _check_keys(content, ("description", "sampler", "asha", "space", "configuration"), f"{file}")
    sampler = _table(content, "sampler", file)
    _check_keys(sampler, ("name", "startup_trials"), f"{file}: sampler")
    name, startup = sampler.get("name"), sampler.get("startup_trials", 0)
    if name not in SAMPLERS:
        raise InputError(f"{file}: sampler.name = {name!r}: allowed are {', '.join(SAMPLERS)}")
    if not isinstance(startup, int) or isinstance(startup, bool) or startup < 0:
        raise InputError(f"{file}: sampler.startup_trials = {startup!r}: allowed are whole numbers from 0")
    asha = _table(content, "asha", file)
    asha_fields = tuple(field.name for field in dataclasses.fields(Asha))
    _check_keys(asha, asha_fields, f"{file}: asha")
    missing = [field for field in asha_fields if field not in asha]
    if missing:
        raise InputError(f"{file}: asha: {', '.join(missing)} missing")
    try:
        asha_numbers = Asha(**asha)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    parameters = _parse_space(_table(content, "space", file), file)
    families = [value for p in parameters if p.field == "family" for value in p.choices or ()]
    content["configuration"] = [
        entry
        for entry in content.get("configuration", [])
        if not isinstance(entry, dict) or not families or entry.get("family") in families
    ]
    return Recipe(
        description=str(content.get("description", "")),
        sampler=name,
        startup_trials=startup,
        asha=asha_numbers,
        parameters=parameters,
        enqueued=_parse_enqueued(content, file),
        text=tomli_w.dumps(content),
    )


def _parse_space(space: dict[str, Any], file: Path) -> tuple[Parameter, ...]:
    if "family" not in space:
        raise InputError(f"{file}: space.family is missing")
    keys = tuple(field.name for field in dataclasses.fields(Parameter) if field.name != "name")
    parameters: list[Parameter] = []
    for name, entry in space.items():
        where = f"{file}: space.{name}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected a table, got {entry!r}")
        _check_keys(entry, keys, where)
        known = {parameter.field for parameter in parameters}
        for field in entry.get("when", {}):
            if field not in known:
                raise InputError(f"{where}: when.{field} must be set by a parameter above it")
        try:
            parameter = _build_parameter(name, entry)
            for choice in parameter.choices or ():
                _check_choice(parameter.field, choice)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        parameters.append(parameter)
    return tuple(parameters)


def _build_parameter(name: str, entry: dict[str, Any]) -> Parameter:
    when = {
        field: tuple(values) if isinstance(values, list) else (values,)
        for field, values in entry.get("when", {}).items()
    }
    choices = tuple(entry["choices"]) if isinstance(entry.get("choices"), list) else None
    for key in ("low", "high", "step"):
        if key in entry and (isinstance(entry[key], bool) or not isinstance(entry[key], (int, float))):
            raise InputError(f"{key} = {entry[key]!r}: expected a number")
    rest = {key: value for key, value in entry.items() if key not in ("when", "choices", "field", "source")}
    source = str(entry.get("source", ""))
    return Parameter(name, entry.get("field", name), source, when=when, choices=choices, **rest)


def _check_choice(field: str, choice: Any) -> None:
    allowed = CHOICES.get(field)
    if allowed and choice not in allowed:
        raise InputError(unknown_name(field, str(choice), allowed))


def _parse_enqueued(content: dict[str, Any], file: Path) -> tuple[Enqueued, ...]:
    enqueued = []
    for number, entry in enumerate(content.get("configuration", []), start=1):
        where = f"{file}: configuration {number}"
        if not isinstance(entry, dict) or not entry.get("label") or not entry.get("source"):
            raise InputError(f"{where}: label and source are needed")
        epochs = entry.get("epochs")
        if epochs is not None and (not isinstance(epochs, int) or epochs < 1):
            raise InputError(f"{where}: epochs = {epochs!r}: allowed are whole numbers from 1")
        values = {key: value for key, value in entry.items() if key in FIELD_NAMES}
        _check_keys(entry, ("label", "source", "epochs", *FIELD_NAMES), where)
        try:
            configuration = Configuration.from_mapping(values)
        except InputError as error:
            raise InputError(f"{where} ({entry['label']}): {error}") from None
        enqueued.append(Enqueued(str(entry["label"]), str(entry["source"]), configuration, epochs))
    return tuple(enqueued)


def _table(content: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    table = content.get(key)
    if not isinstance(table, dict):
        raise InputError(f"{file}: table [{key}] is missing")
    return table


def _check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise InputError(f"{where}: {unknown_name('key', key, allowed)}")
