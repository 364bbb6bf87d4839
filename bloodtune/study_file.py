"""``study.db``: the finished trials as an Optuna study in SQLite, for ``optuna.load_study`` and optuna-dashboard."""

from __future__ import annotations

import json
import sqlite3
import urllib.parse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial


class StudyFile:
    """One study in a file of its own, to which finished trials are added and nothing else.

    Optuna makes the file, in version 12 of its schema, and reads it. Rows go in by SQL: its ``add_trial``, which reads
    again before each of some thirty rows, takes longer than all else that a driver does for a trial
    (docs/experiments.md).
    """

    def __init__(self, file: Path, name: str) -> None:
        """Open the file, or make it with an empty study called ``name``."""
        storage = optuna.storages.RDBStorage(f"sqlite:///{urllib.parse.quote(str(file))}")
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        stored = study.get_trials(deepcopy=False)
        self.stored = {trial.user_attrs.get("trial") for trial in stored}
        self._study = storage.get_study_id_from_name(name)
        self._next = len(stored)
        storage.remove_session()
        storage.engine.dispose()
        # Patient, as other programs may read the file and lock it.
        self._connection = sqlite3.connect(file, timeout=60)

    def add(self, trial: FrozenTrial) -> None:
        """Put a finished trial on disk, whole or not at all; its values are finite."""
        assert trial.datetime_start and trial.datetime_complete
        with self._connection as connection:
            columns = "number, study_id, state, datetime_start, datetime_complete"
            times = (_time(trial.datetime_start), _time(trial.datetime_complete))
            values = (self._next, self._study, trial.state.name, *times)
            row = connection.execute(f"INSERT INTO trials ({columns}) VALUES (?, ?, ?, ?, ?)", values).lastrowid

            def insert(table: str, columns: str, values: Iterable[tuple[object, ...]]) -> None:
                rows = [(row, *value) for value in values]
                marks = ", ".join("?" * (1 + len(columns.split(","))))
                connection.executemany(f"INSERT INTO {table} (trial_id, {columns}) VALUES ({marks})", rows)

            insert(
                "trial_params",
                "param_name, param_value, distribution_json",
                (
                    (name, kind.to_internal_repr(trial.params[name]), distribution_to_json(kind))
                    for name, kind in trial.distributions.items()
                ),
            )
            insert(
                "trial_intermediate_values",
                "step, intermediate_value, intermediate_value_type",
                ((step, value, "FINITE") for step, value in trial.intermediate_values.items()),
            )
            if trial.value is not None:
                insert("trial_values", "objective, value, value_type", [(0, trial.value, "FINITE")])
            attributes = ((key, json.dumps(value)) for key, value in trial.user_attrs.items())
            insert("trial_user_attributes", '"key", value_json', attributes)
        self._next += 1
        self.stored.add(trial.user_attrs.get("trial"))


def _time(moment: datetime) -> str:
    # In the file times are UTC, in memory local.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
