"""Sources of configurations beside the product's StudySampler: random rows, and OptunaSearch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import optuna

from bloodtune.run.records import PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from curves.tables import Table


class RandomSampler:
    """Draws from the table's pool and learns nothing: a thousand times faster than a study."""

    def __init__(self, table: Table, seed: int) -> None:
        self._pool = table.pool
        self._places = np.random.default_rng(seed).integers(len(table.pool), size=len(table.pool)).tolist()

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        """Return a row, the same one for the same seed and number."""
        return known or self._pool[self._places[number % len(self._places)]]

    def report(self, number: int, epoch: int, value: float) -> None:
        """Do nothing."""

    def tell(self, record: TrialRecord) -> None:
        """Do nothing."""

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None:
        """Do nothing."""


class OptunaSearchSampler:
    """Ray's OptunaSearch with its default, Optuna's TPESampler.

    As shipped, it tells a trial that ASHA stops as COMPLETE with the value where it stopped. ``is_mended`` tells it as
    PRUNED, with its values by epoch.
    """

    def __init__(self, table: Table, seed: int, *, is_mended: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = table.space
        self._is_mended = is_mended
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        """Return a new proposal."""
        assert known is None
        self._asked[number] = self._study.ask()
        return self._space.suggest(self._asked[number])

    def report(self, number: int, epoch: int, value: float) -> None:
        """Report a value of a trial."""
        self._asked[number].report(value, epoch)

    def tell(self, record: TrialRecord) -> None:
        """Tell the outcome, in the way that Ray does or in the mended one."""
        is_pruned = self._is_mended and record.state == PRUNED
        state = optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE
        self._study.tell(self._asked.pop(record.trial), None if is_pruned else record.val_macro_f1, state=state)

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None:
        """Do nothing: no search is resumed here."""
