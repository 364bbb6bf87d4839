"""The study file: finished trials in Optuna's journal, for ``optuna.load_study`` and optuna-dashboard."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from bloodtune.files import if_supported, keep_damaged_copy

OLD_STUDY = "study.db"  # the study's SQLite file in runs of earlier versions; it too was only a copy of the records


class StudyFile:
    """An Optuna journal with one study, to which finished trials are added.

    A trial takes 0.7 ms, its sync to disk included; in Optuna's SQLite storage it takes 21 ms.
    """

    def __init__(self, file: Path, name: str, finished: Iterable[FrozenTrial] = ()) -> None:
        """Open or create the file with exactly the ``finished`` trials in a study called ``name``.

        A file that is damaged or has other trials is rebuilt. ``note`` names the copy of a damaged file, and is empty
        otherwise.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.note = ""
        trials = {trial.user_attrs["trial"]: trial for trial in finished}
        file.with_name(OLD_STUDY).unlink(missing_ok=True)
        try:
            _cut_partial_line(file)
            self._study, stored = _open(file, name)
        except OSError:
            raise  # such as a full disk: the file is not damaged
        except Exception:  # Optuna raises many types for a garbled line
            self.note = f"{file} is damaged: rebuilt from the records; old file kept as {keep_damaged_copy(file).name}"
            stored = {None}
        if not stored <= trials.keys():
            file.unlink()
            self._study, stored = _open(file, name)
        for number, trial in trials.items():
            if number not in stored:
                self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        """Write a finished trial with finite values to disk, completely or not at all."""
        self._study.add_trial(trial)


class _Journal(JournalFileBackend):
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with if_supported():  # the sync, which comes after the write
            super().append_logs(logs)


def _cut_partial_line(file: Path) -> None:
    # A killed search can leave a partial line, to which Optuna would append.
    if file.exists() and not (content := file.read_bytes()).endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _open(file: Path, name: str) -> tuple[optuna.Study, set[int | None]]:
    # Returns the study and the numbers of its trials; None stands for an unknown trial or another study.
    storage = optuna.storages.JournalStorage(_Journal(str(file), JournalFileOpenLock(str(file))))
    studies = {study.study_name for study in storage.get_all_studies()}
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    stored = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
    return study, stored | ({None} if studies - {name} else set())
