"""A study that sees, for each trial, a prediction of its value at the last rung that any trial has reached."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterable, Mapping
from statistics import median

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from bloodtune.run.records import EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.tuning.sampler import draw_seed
from curves.tables import Table


def predicted_values(curves: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """Return, per trial, minus the logarithm of the error predicted at the highest rung; higher is better.

    ``curves`` has the negative errors of each trial by rung. A trial's error falls from each rung to the next by the
    median factor of the trials that have reached both.
    """
    logs = {number: {rung: math.log(-value) for rung, value in curve.items()} for number, curve in curves.items()}
    rungs = sorted({rung for curve in logs.values() for rung in curve})
    gains = {rungs[-1]: 0.0} if rungs else {}
    for low, high in zip(rungs[-2::-1], rungs[::-1], strict=False):
        both = [curve[high] - curve[low] for curve in logs.values() if high in curve and low in curve]
        gains[low] = gains[high] + (median(both) if both else 0.0)
    return {number: -(curve[max(curve)] + gains[max(curve)]) for number, curve in logs.items() if curve}


class _PredictedStorage(InMemoryStorage):
    # Optuna ranks completed trials above pruned ones, whatever their values. Here all that have a value are completed.

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[int, float] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        trials = [self._completed(trial) for trial in super().get_all_trials(study_id, deepcopy)]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _completed(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.number not in self.values:
            return trial
        trial = copy.copy(trial)
        trial.state, trial.value = TrialState.COMPLETE, self.values[trial.number]
        return trial


class PredictedSampler:
    """Optuna's TPE, each parameter by itself, on values predicted to the highest rung."""

    def __init__(self, table: Table, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._table = table
        self._seed = seed
        self._rungs = (*table.recipe.asha.rungs, table.recipe.asha.max_epochs)
        self._storage = _PredictedStorage()
        self._study = optuna.create_study(storage=self._storage, direction="maximize")
        self._curves: dict[int, dict[int, float]] = {}

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        """Return a new proposal; trials must be asked for in their order."""
        seed = draw_seed(self._seed, number)
        if number < self._table.recipe.startup_trials:
            self._study.sampler = optuna.samplers.RandomSampler(seed)
        else:
            self._study.sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=1, multivariate=False, constant_liar=True
            )
            self._storage.values = predicted_values(self._curves)
        return self._table.space.suggest(self._study.ask())

    def report(self, number: int, epoch: int, value: float) -> None:
        """Take a value at a rung."""
        if epoch in self._rungs:
            self._curves.setdefault(number, {})[epoch] = value

    def tell(self, record: TrialRecord) -> None:
        """Do nothing: the values say all."""

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None:
        """Do nothing: no search is resumed here."""
