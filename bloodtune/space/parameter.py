"""Parameter: one searched hyperparameter with its range or choices, conditions and source."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bloodtune.errors import InputError, unknown_name
from bloodtune.space.configuration import FIELD_NAMES, INTEGER_FIELDS, Configuration, check_value


@dataclass(frozen=True)
class Parameter:
    """One searched hyperparameter: ``choices``, or a range from ``low`` to ``high``, both included.

    ``name`` is the parameter's name in the study; ``field`` is the configuration's field that it sets. Two parameters
    may set the same field under different conditions. ``when`` maps fields to allowed values; the parameter applies
    if every field has one of its allowed values. ``source`` is the origin of the range, such as a paper's table.

    Raises:
        InputError: the field is unknown, the source is empty, or the field does not allow the range or choices.
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
            raise InputError(unknown_name("hyperparameter", str(self.field), FIELD_NAMES))
        if not self.source:
            raise InputError("source is empty: name the origin of the range, such as a paper")
        for field, allowed in self.when.items():
            for value in allowed:
                check_value(field, value)
        if self.choices is None:
            self._check_range()
            return
        if not self.choices:
            raise InputError("choices = []: give at least one value")
        if (self.low, self.high, self.step, self.log) != (None, None, None, False):
            raise InputError("give either choices, or low and high")
        for choice in self.choices:
            check_value(self.field, choice)

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise InputError("give either choices, or low and high")
        for name in ("low", "high", "step"):
            value, kind = getattr(self, name), int if self.is_integer else (int, float)
            if isinstance(value, bool) or not isinstance(value, (kind, type(None))):
                raise InputError(f"{name} = {value!r}: expected a {'whole ' if self.is_integer else ''}number")
        if not isinstance(self.log, bool):
            raise InputError(f"log = {self.log!r}: expected true or false")
        check_value(self.field, self.low)
        check_value(self.field, self.high)
        if not self.low < self.high:
            raise InputError(f"low = {self.low} must be below high = {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise InputError("log = true needs low above 0 and no step")
        if self.step is not None and not (0 < self.step < 2 * (self.high - self.low) and self._is_on_grid(self.high)):
            raise InputError(f"step = {self.step}: whole steps must lead from low = {self.low} to high = {self.high}")

    @property
    def is_integer(self) -> bool:
        """True if the field takes whole numbers only."""
        return self.field in INTEGER_FIELDS

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Return whether ``values``, the fields set so far, meet all conditions of this parameter."""
        return all(values.get(field) in allowed for field, allowed in self.when.items())

    def admits(self, value: Any) -> bool:
        """Return whether ``value`` is in the range (and on the grid of ``step``) or among the choices."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        return isinstance(value, (int, float)) and self.low <= value <= self.high and self._is_on_grid(value)

    def _is_on_grid(self, value: float) -> bool:
        if self.step is None or self.low is None:
            return True
        steps = (value - self.low) / self.step
        return math.isfinite(steps) and abs(steps - round(steps)) < 1e-8


def parameter_values(configuration: Configuration, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Return the values by parameter name from which the space builds ``configuration``.

    Raises:
        InputError: the configuration is outside the space; the message names the field.
    """
    values = configuration.to_mapping()
    fields: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(fields):
            value = values.get(parameter.field)
            if not parameter.admits(value):
                raise InputError(f"{parameter.field} = {value!r} is outside space.{parameter.name}")
            found[parameter.name] = fields[parameter.field] = value
    built = Configuration.from_mapping(fields).to_mapping()
    for name, value in values.items():
        if built.get(name) != value:
            raise InputError(f"{name} = {value!r} is not in the space")
    return found


def combinations(parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    """Yield the fields of one configuration per combination of the values on which other fields depend.

    Every other parameter contributes only its last value. Checking these configurations checks the whole space.

    Raises:
        InputError: two parameters set the same field under the same conditions.
    """
    deciding = {"family", "loss", "optimizer", "momentum", "nesterov", *(f for p in parameters for f in p.when)}
    return _combine(tuple(parameters), {}, deciding)


def _combine(parameters: Sequence[Parameter], known: dict[str, Any], deciding: set[str]) -> Iterator[dict[str, Any]]:
    if not parameters:
        yield known
        return
    parameter, rest = parameters[0], parameters[1:]
    if not parameter.applies(known):
        yield from _combine(rest, known, deciding)
        return
    if parameter.field in known:
        raise InputError(f"{parameter.name}: another parameter sets {parameter.field} already")
    values = parameter.choices or (parameter.low, parameter.high)
    for value in values if parameter.field in deciding else values[-1:]:
        yield from _combine(rest, known | {parameter.field: value}, deciding)
