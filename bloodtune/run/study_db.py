"""The study file: finished trials in Optuna's journal, for ``optuna.load_study`` and optuna-dashboard."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from bloodtune.files import put_aside

# The study's SQLite file in runs of earlier versions, a copy of the records too.
OLD_STUDY = "study.db"


class StudyFile:
    """One study in a file of its own, to which finished trials are added and nothing else.

    Optuna writes one line and syncs it to disk per trial, in 0.7 ms; its SQLite storage takes 21 ms.
    """

    def __init__(self, file: Path, name: str, finished: Iterable[FrozenTrial] = ()) -> None:
        """Open the file, or make it, with a study called ``name`` of the ``finished`` trials and no others.

        A damaged file, or one with other trials, is made anew. ``note`` says where a damaged file was set aside; it is
        empty for a whole one.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.note = ""
        trials = {trial.user_attrs["trial"]: trial for trial in finished}
        file.with_name(OLD_STUDY).unlink(missing_ok=True)
        try:
            _cut_partial_line(file)
            self._study, stored = _open(file, name)
        except OSError:
            raise  # not the file's fault, such as a full disk
        except Exception:  # whatever Optuna raises for a garbled line
            self.note = f"{file} is damaged: made anew from the records, and kept as {put_aside(file).name}"
            stored = {None}
        if not stored <= trials.keys():
            file.unlink()
            self._study, stored = _open(file, name)
        for number, trial in trials.items():
            if number not in stored:
                self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        """Put a finished trial on disk, whole or not at all; its values are finite."""
        self._study.add_trial(trial)


def _cut_partial_line(file: Path) -> None:
    # A line that a kill cut off: Optuna would append to it.
    if file.exists() and not (content := file.read_bytes()).endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _open(file: Path, name: str) -> tuple[optuna.Study, set[int | None]]:
    # Returns the study and the numbers of its trials; None stands for a trial that is not ours, or another study.
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file), JournalFileOpenLock(str(file))))
    studies = {study.study_name for study in storage.get_all_studies()}
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    stored = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
    return study, stored | ({None} if studies - {name} else set())
