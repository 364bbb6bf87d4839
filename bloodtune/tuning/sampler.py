"""The Optuna sampler of a search: a recipe's parameters to suggestions and back, and each trial's seed."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
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

# Errors below this count as this one: no validation split tells them apart.
_LEAST_ERROR = 1e-6
_PRIOR = 2.0  # in trials: weight of all families beside a trial's own, where errors are predicted

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


def predict_scores(
    curves: Mapping[int, Mapping[int, float]], families: Mapping[int, Any] | None = None
) -> dict[int, float]:
    """Return, per trial, a score at the highest rung that any trial has reached; higher is better.

    ``curves`` has the error of each trial by rung. From each rung to the next, the logarithm of a trial's error is
    assumed to change by the median over the trials that have reached both. The median over the trial's own family
    (``families``) counts with their number, that over all trials as two. The score is minus the logarithm at the end.
    """
    families = families or {}
    logs = {
        n: {rung: math.log(max(error, _LEAST_ERROR)) for rung, error in curve.items()} for n, curve in curves.items()
    }
    rungs = sorted({rung for curve in logs.values() for rung in curve})
    change = {family: dict.fromkeys(rungs[-1:], 0.0) for family in {families.get(number) for number in logs}}
    for low, high in zip(rungs[-2::-1], rungs[::-1], strict=False):
        both = {n: curve[high] - curve[low] for n, curve in logs.items() if high in curve and low in curve}
        for family, changes in change.items():
            own = [value for number, value in both.items() if families.get(number) == family]
            step = _PRIOR * median(both.values()) if both else 0.0
            step += len(own) * median(own) if own else 0.0
            changes[low] = changes[high] + step / (len(own) + _PRIOR)
    return {n: -(curve[max(curve)] + change[families.get(n)][max(curve)]) for n, curve in logs.items() if curve}


class _Standings(InMemoryStorage):
    """Optuna's storage in memory, where each trial with a score counts as completed with it.

    Optuna would rank completed trials above pruned ones, whatever their values, and paused ones as the worst.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scores: dict[int, float] = {}  # by Optuna's number

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        trials = [self._as_it_stands(trial) for trial in super().get_all_trials(study_id, deepcopy)]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _as_it_stands(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.number not in self.scores:
            return trial
        trial = copy.copy(trial)
        trial.state, trial.value = TrialState.COMPLETE, self.scores[trial.number]
        return trial


class _Tpe(optuna.samplers.TPESampler):
    """Optuna's TPE, each parameter by itself; the first one, the family, as often as it occurs among good trials.

    TPE takes the choice with the highest ratio of densities. That prefers a family with one success in two trials to
    one with three in fifteen, even if those three are the best.
    """

    def __init__(self, seed: int, root: str) -> None:
        common: dict[str, Any] = {"n_startup_trials": 1, "multivariate": False, "constant_liar": True}
        super().__init__(seed=seed, **common)
        self._root, self._sampler_of_root = root, optuna.samplers.TPESampler(seed=seed, n_ei_candidates=1, **common)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name == self._root:
            return self._sampler_of_root.sample_independent(study, trial, param_name, param_distribution)
        return super().sample_independent(study, trial, param_name, param_distribution)


class StudySampler:
    """Optuna's study of one search, in memory: ask for configurations, report curves, tell outcomes.

    Every trial that has reached a rung counts with a score predicted for the highest rung (``predict_scores``), whether
    it runs, is paused or has ended. The sampler knows neither Ray nor files. Every draw is seeded by the study's seed
    and the trial's number, so a resumed search repeats no draw. Trials are named by their number in the search, in any
    order.
    """

    def __init__(self, recipe: Recipe, seed: int, space: Space | None = None, *, perfect: float = 1.0) -> None:
        """``space`` takes the place of the recipe's parameters, for tables of other tasks (benchmarks/).

        ``perfect`` is the highest value that the objective can have: the error is the distance to it.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.recipe = recipe
        self.seed = seed
        self._space = space or RecipeSpace(recipe)
        self._perfect = perfect
        self._storage = _Standings()
        # Each trial brings its own sampler.
        self._study = optuna.create_study(storage=self._storage, direction="maximize")
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
        root = self.recipe.parameters[0] if self.recipe.parameters else None
        self._storage.scores = self._scores(root.name if root and root.choices else "")
        return _Tpe(seed, root.name if root else "")

    def _scores(self, root: str) -> dict[int, float]:
        # From the errors at the rungs, by Optuna's number; a failed trial has none.
        rungs = (*self.recipe.asha.rungs, self.recipe.asha.last_epoch)
        self._storage.scores = {}
        trials = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
        curves = {
            trial.number: {rung: self._perfect - value for rung, value in trial.intermediate_values.items()}
            for trial in trials
        }
        at_rungs = {n: {rung: curve[rung] for rung in rungs if rung in curve} for n, curve in curves.items()}
        return predict_scores(at_rungs, {trial.number: trial.params.get(root) for trial in trials})
