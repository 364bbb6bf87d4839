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
from bloodtune.parameter import Parameter, reach
from bloodtune.recipe import Recipe


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
    parameters = reach(configuration, recipe.parameters)
    return parameters, {p.name: distribution(p) for p in recipe.parameters if p.name in parameters}


def _suggest_one(trial: optuna.Trial, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    assert low is not None and high is not None
    if parameter.is_integer:
        return trial.suggest_int(parameter.name, int(low), int(high), step=int(step or 1), log=parameter.log)
    return trial.suggest_float(parameter.name, low, high, step=step, log=parameter.log)
