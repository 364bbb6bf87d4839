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

from bloodtune.files import put_aside


class StudyFile:
    """One study in a file of its own, to which finished trials are added and nothing else.

    Optuna makes the file, in version 12 of its schema, and reads it. Rows go in by SQL: its ``add_trial``, which reads
    again before each of some thirty rows, takes longer than all else that a driver does for a trial
    (docs/experiments.md).
    """

    def __init__(self, file: Path, name: str, finished: Iterable[FrozenTrial] = ()) -> None:
        """Open the file, or make it, with a study called ``name`` of the ``finished`` trials and no others.

        A file that is damaged, or that holds other trials, is made anew; ``note`` says where the damaged one went.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.note = ""
        trials = {trial.user_attrs["trial"]: trial for trial in finished}
        try:
            stored = self._open(file, name)
        except Exception as error:  # whatever SQLite, SQLAlchemy or Optuna make of a garbled file
            if isinstance(getattr(error, "orig", error), sqlite3.OperationalError) or not file.exists():
                raise  # not the file's fault, such as a full disk
            self.note = f"{file} is damaged: made anew from the records, and kept as {put_aside(file).name}"
            stored = {None}
        if not stored <= trials.keys():
            for part in (file, file.with_name(f"{file.name}-journal")):
                part.unlink(missing_ok=True)
            stored = self._open(file, name)
        # Patient, as other programs may read the file and lock it.
        self._connection = sqlite3.connect(file, timeout=60)
        self._next = len(stored)
        for number, trial in trials.items():
            if number not in stored:
                self.add(trial)

    def _open(self, file: Path, name: str) -> set[int | None]:
        # Returns the numbers of the trials that it holds.
        storage = optuna.storages.RDBStorage(f"sqlite:///{urllib.parse.quote(str(file))}")
        try:
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            self._study = storage.get_study_id_from_name(name)
            return {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
        finally:
            storage.remove_session()
            storage.engine.dispose()

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


def _time(moment: datetime) -> str:
    # In the file times are UTC, in memory local.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
