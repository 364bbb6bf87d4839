"""Spaces of other laboratories' hyperparameters, and the encoding of configurations as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bloodtune.space.configuration import Configuration

# A number whose positive values span more than this factor is encoded by its logarithm.
LOG_SPAN = 30


@dataclass(frozen=True, eq=False)
class Point:
    """A configuration of another laboratory's task: names and values."""

    parameters: Mapping[str, Any]

    def to_mapping(self) -> dict[str, Any]:
        """Return the names and values."""
        return dict(self.parameters)


@dataclass(frozen=True)
class PointSpace:
    """A space of numbers without conditions, for ``StudySampler``.

    Its configurations are ``Point`` objects. Queue and sampler never look inside a configuration, so a point may stand
    where they expect one of ours.
    """

    distributions: Mapping[str, BaseDistribution]

    def suggest(self, trial: optuna.Trial) -> Configuration:
        """Let the study choose one point."""
        values = {name: _suggest_one(trial, name, span) for name, span in self.distributions.items()}
        return cast(Configuration, Point(values))

    def parameters_of(self, configuration: Configuration) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return the study's parameters of a point, and their distributions."""
        return configuration.to_mapping(), dict(self.distributions)


def _suggest_one(trial: optuna.Trial, name: str, span: BaseDistribution) -> float:
    if isinstance(span, IntDistribution):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    assert isinstance(span, FloatDistribution)
    return trial.suggest_float(name, span.low, span.high, log=span.log)


class Encoder:
    """Configurations as rows of numbers from 0 to 1.

    A number becomes one column, scaled by the range in the table; it is 0.5 where it does not apply. A choice becomes
    one column per value.
    """

    def __init__(self, mappings: Sequence[Mapping[str, Any]]) -> None:
        names = {name: None for mapping in mappings for name in mapping}  # a set that keeps its order
        self._choices: list[tuple[str, Any]] = []
        self._numbers: dict[str, tuple[float, bool, float, float]] = {}
        for name in names:
            values = [mapping[name] for mapping in mappings if name in mapping]
            if isinstance(values[0], (str, bool)):
                self._choices += [(name, value) for value in sorted(set(values))]
            else:
                self._numbers[name] = _scale(np.array(values, dtype=float))

    def __call__(self, mappings: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return float64 (number of mappings, columns)."""
        return np.array([self._encode(mapping) for mapping in mappings], dtype=float)

    def _encode(self, mapping: Mapping[str, Any]) -> list[float]:
        row = [float(mapping.get(name) == value) for name, value in self._choices]
        for name, (floor, is_log, low, width) in self._numbers.items():
            value = mapping.get(name)
            if value is None:
                row.append(0.5)
                continue
            number = np.log(max(value, floor)) if is_log else value
            row.append((number - low) / width)
        return row


def _scale(values: np.ndarray) -> tuple[float, bool, float, float]:
    # (floor of a logarithm, whether it is logarithmic, lowest, width); zeros stand a factor 10 below the rest.
    positive = values[values > 0]
    is_log = bool(len(positive)) and values.min() >= 0 and positive.max() > LOG_SPAN * positive.min()
    floor = float(positive.min()) / 10 if is_log and values.min() == 0 else float(values.min())
    numbers = np.log(np.maximum(values, floor)) if is_log else values
    return floor, is_log, float(numbers.min()), float(np.ptp(numbers)) or 1.0
