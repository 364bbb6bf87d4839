"""The recorder of a search: every proposal, epoch, checkpoint and trial on disk before it counts."""

from __future__ import annotations

from collections.abc import Sequence

from bloodtune.files import RUN_MODEL, replace_folder
from bloodtune.monitoring.tracker import Tracker
from bloodtune.run.best_model import ModelFiles, drop_model_of_another
from bloodtune.run.directory import STUDY, RunDirectory
from bloodtune.run.records import EpochRecord, Proposal, TrialRecord
from bloodtune.run.repair import RunRecords
from bloodtune.run.study_db import StudyFile
from bloodtune.space.recipe import Recipe
from bloodtune.tuning.sampler import RecipeSpace, freeze


class RunRecorder:
    """Writes a search into its run directory, and its finished trials into the study that Optuna's tools open."""

    def __init__(self, run: RunDirectory, recipe: Recipe, records: RunRecords) -> None:
        """Open the study, or make it anew, with the finished trials of ``records`` and no others."""
        self._run = run
        self._space = RecipeSpace(recipe)
        curves = records.curves()
        finished = sorted(records.trials, key=lambda record: record.trial)
        trials = [freeze(record, curves.get(record.trial, ()), self._space) for record in finished]
        self._study = StudyFile(run.path / STUDY, run.name, trials)
        self.note = self._study.note  # where a damaged study was set aside; empty if it was whole

    def proposed(self, proposal: Proposal) -> None:
        """Append a line to ``proposals.jsonl``."""
        self._run.append_proposal(proposal)

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Append rows to ``curves.csv``."""
        self._run.append_epochs(proposal.trial, epochs)

    def improved(self, record: TrialRecord, model: ModelFiles | None) -> None:
        """Write the best trial so far, and its model if it has a new one."""
        if model:
            replace_folder(self._run.path / RUN_MODEL, model.contents)
        else:
            drop_model_of_another(self._run.path, record.trial)
        self._run.write_best(record)

    def finished(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        """Append a row to ``trials.csv`` and the study, and delete the trial's checkpoints."""
        self._run.append_trial(record)
        self._study.add(freeze(record, epochs, self._space))
        self._run.drop_checkpoints(record.trial)


class TrackerRecorder:
    """Hands new epochs and finished trials on to a tracker such as TensorBoard."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def proposed(self, proposal: Proposal) -> None:
        """Do nothing: trackers show trials from their first epoch on."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Hand on new epochs."""
        self._tracker.epochs(proposal, epochs)

    def improved(self, record: TrialRecord, model: ModelFiles | None) -> None:
        """Do nothing: trackers find the best trial themselves."""

    def finished(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        """Hand on a finished trial."""
        self._tracker.finished(record)
