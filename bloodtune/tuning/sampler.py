"""The Optuna sampler of a search: a recipe's parameters to suggestions and back, and each trial's seed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.parameter import Parameter, parameter_values
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


def _suggest_one(trial: optuna.Trial, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    assert low is not None and high is not None
    if parameter.is_integer:
        return trial.suggest_int(parameter.name, int(low), int(high), step=int(step or 1), log=parameter.log)
    return trial.suggest_float(parameter.name, low, high, step=step, log=parameter.log)


def draw_seed(seed: int, number: int) -> int:
    """Return the seed of one trial, below 2^32: different for each trial, the same in each process."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


class Space(Protocol):
    """A set of configurations that a study draws from."""

    def suggest(self, trial: optuna.Trial) -> Configuration:
        """Let the study choose one configuration."""

    def parameters_of(self, configuration: Configuration) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return the study's parameters of a configuration, and their distributions."""


@dataclass(frozen=True)
class RecipeSpace:
    """The space of a recipe."""

    recipe: Recipe

    def suggest(self, trial: optuna.Trial) -> Configuration:
        """Return a configuration that the study suggests; only parameters whose conditions hold are suggested."""
        values: dict[str, Any] = {}
        for parameter in self.recipe.parameters:
            if parameter.applies(values):
                values[parameter.field] = _suggest_one(trial, parameter)
        return Configuration.from_mapping(values)

    def parameters_of(self, configuration: Configuration) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return the study's parameters of a configuration, and their distributions.

        Raises:
            InputError: the space does not reach the configuration; the message names the field.
        """
        parameters = parameter_values(configuration, self.recipe.parameters)
        return parameters, {p.name: distribution(p) for p in self.recipe.parameters if p.name in parameters}


def freeze(record: TrialRecord, epochs: Iterable[EpochRecord], space: Space) -> FrozenTrial:
    """Return a finished trial as Optuna keeps it."""
    parameters, distributions = space.parameters_of(record.configuration)
    return create_trial(
        state=STATES[record.state],
        value=record.val_macro_f1 if record.state == COMPLETE else None,
        params=parameters,
        distributions=distributions,
        intermediate_values={epoch.epoch: epoch.val_macro_f1 for epoch in epochs},
        user_attrs={"trial": record.trial, "label": record.label, "message": record.message},
    )


class _Standings(InMemoryStorage):
    """Optuna's storage in memory, where a trial that has a value and has not finished counts as pruned there.

    Optuna's model ignores the values of running trials: a paused trial would count as bad, whatever it has reached.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        trials = [_as_it_stands(trial) for trial in super().get_all_trials(study_id, deepcopy)]
        return trials if states is None else [trial for trial in trials if trial.state in states]


def _as_it_stands(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.RUNNING or not trial.intermediate_values:
        return trial
    trial = copy.copy(trial)
    trial.state = TrialState.PRUNED
    return trial


class StudySampler:
    """Optuna's study of one search, in memory: ask for configurations, report curves, tell outcomes.

    A trial that is paused or runs counts as pruned at its last epoch. The sampler knows neither Ray nor files. Every
    draw is seeded by the study's seed and the trial's number, so a resumed search repeats no draw. Trials are named by
    their number in the search, in any order.
    """

    def __init__(self, recipe: Recipe, seed: int, space: Space | None = None) -> None:
        """``space`` takes the place of the recipe's parameters, for tables of other tasks (benchmarks/)."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.recipe = recipe
        self.seed = seed
        self._space = space or RecipeSpace(recipe)
        self._study = optuna.create_study(
            storage=_Standings(), direction="maximize"
        )  # each trial brings its own sampler
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        """Return the configuration of a trial: the ``known`` one if given, else a new proposal.

        Raises:
            InputError: the space does not reach the known configuration.
        """
        if known is not None:
            parameters, _ = self._space.parameters_of(known)
            self._study.enqueue_trial(parameters)
        self._study.sampler = self._sampler(number)
        self._asked[number] = self._study.ask()
        return self._space.suggest(self._asked[number])

    def report(self, number: int, epoch: int, value: float) -> None:
        """Report a trial's objective after an epoch."""
        self._asked[number].report(value, epoch)

    def tell(self, record: TrialRecord) -> None:
        """Record the outcome of a proposed trial."""
        value = record.val_macro_f1 if record.state == COMPLETE else None
        self._study.tell(self._asked.pop(record.trial), value, state=STATES[record.state])

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None:
        """Add a finished trial of an earlier start of the search."""
        self._study.add_trial(freeze(record, epochs, self._space))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        # Start-up trials are counted from the first sampled one: Optuna would count the enqueued ones too.
        seed = draw_seed(self.seed, number)
        startup = len(self.recipe.enqueued) + self.recipe.startup_trials
        if self.recipe.sampler != "tpe" or number < startup:
            return optuna.samplers.RandomSampler(seed)
        with warnings.catch_warnings():
            # `group` is marked experimental. Without it only parameters that every trial has are modelled jointly.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=1, multivariate=True, group=True, constant_liar=True
            )
