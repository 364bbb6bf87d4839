"""From a recipe's parameters to Optuna's suggestions and back."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bloodtune.configuration import Configuration
from bloodtune.errors import InputError
from bloodtune.recipe import Parameter, Recipe


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution of a parameter."""
    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    assert parameter.low is not None and parameter.high is not None
    if parameter.is_integer:
        return IntDistribution(
            int(parameter.low), int(parameter.high), log=parameter.log, step=int(parameter.step or 1)
        )
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def suggest(trial: optuna.Trial, recipe: Recipe) -> Configuration:
    """Let the study choose one configuration; a parameter is asked for only where its conditions hold."""
    values: dict[str, Any] = {}
    for parameter in recipe.parameters:
        if parameter.applies(values):
            values[parameter.field] = _suggest_one(trial, parameter)
    return Configuration.from_mapping(values)


def parameters_of(configuration: Configuration, recipe: Recipe) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Return the study's parameters of a configuration, and their distributions.

    Raises:
        InputError: the space does not reach the configuration; the message names the field.
    """
    values = configuration.to_mapping()
    parameters: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    reached: dict[str, Any] = {}
    for parameter in recipe.parameters:
        if not parameter.applies(reached):
            continue
        value = values.get(parameter.field)
        if not parameter.admits(value):
            raise InputError(f"{parameter.field} = {value!r} is outside space.{parameter.name}")
        parameters[parameter.name] = reached[parameter.field] = value
        distributions[parameter.name] = distribution(parameter)
    if Configuration.from_mapping(reached) != configuration:
        extra = sorted(set(values.items()) - set(Configuration.from_mapping(reached).to_mapping().items()))
        raise InputError(f"{extra[0][0]} = {extra[0][1]!r} is not in the space")
    return parameters, distributions


def _suggest_one(trial: optuna.Trial, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    assert low is not None and high is not None
    if parameter.is_integer:
        return trial.suggest_int(parameter.name, int(low), int(high), step=int(step or 1), log=parameter.log)
    return trial.suggest_float(parameter.name, low, high, step=step, log=parameter.log)
