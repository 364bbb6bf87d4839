"""From a recipe's parameters to Optuna's suggestions and back, and each trial's seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.parameter import Parameter, reach
from bloodtune.space.recipe import Recipe

STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}


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


def draw_seed(seed: int, number: int) -> int:
    """Return the seed of one trial, below 2^32: another one for each trial, the same one in each process."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def freeze(record: TrialRecord, epochs: Iterable[EpochRecord], recipe: Recipe) -> FrozenTrial:
    """Return a finished trial as Optuna keeps it."""
    parameters, distributions = parameters_of(record.configuration, recipe)
    return create_trial(
        state=STATES[record.state],
        value=record.val_macro_f1 if record.state == COMPLETE else None,
        params=parameters,
        distributions=distributions,
        intermediate_values={epoch.epoch: epoch.val_macro_f1 for epoch in epochs},
        user_attrs={"trial": record.trial, "label": record.label, "message": record.message},
    )
