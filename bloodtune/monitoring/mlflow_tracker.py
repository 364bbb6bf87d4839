"""MLflow tracker: one parent run for the search, one child run per trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bloodtune.monitoring.tracker import EXPERIMENT
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, EpochRecord, Proposal, TrialRecord


class MlflowTracker:
    """Logs a search to MLflow at MLFLOW_TRACKING_URI: one parent run for the search, one child run per trial.

    A resumed search continues its parent run.
    """

    def __init__(self, run: RunDirectory) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        known = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        tags = {"mlflow.runName": run.name, "bloodtune.run": run.name}
        filters = f"tags.`bloodtune.run` = '{run.name}' and tags.`bloodtune.trial` = 'all'"
        found = self._client.search_runs([self._experiment], filters)
        self._search = found[0] if found else self._create(tags | {"bloodtune.trial": "all"})
        if found:
            self._client.update_run(self._search.info.run_id, status="RUNNING")
        self._trials: dict[int, Any] = {}

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Log epochs of a trial; the first call also logs its configuration."""
        from mlflow.entities import Metric, Param

        parameters = []
        if proposal.trial not in self._trials and (old := self._find_run(proposal.trial)):
            self._client.update_run(old.info.run_id, status="RUNNING")
            self._trials[proposal.trial] = old
        if proposal.trial not in self._trials:
            tags = {"mlflow.parentRunId": self._search.info.run_id, "mlflow.runName": f"trial {proposal.trial}"}
            self._trials[proposal.trial] = self._create(tags | {"bloodtune.trial": str(proposal.trial)})
            given = proposal.configuration.to_mapping() | {"label": proposal.label or None}
            parameters = [Param(name, str(value)) for name, value in given.items() if value is not None]
        run = self._trials[proposal.trial]
        metrics = [
            Metric(name, value, run.info.start_time, epoch.epoch)
            for epoch in epochs
            for name, value in asdict(epoch).items()
            if name != "epoch"
        ]
        self._client.log_batch(run.info.run_id, metrics, parameters)

    def finished(self, record: TrialRecord) -> None:
        """End the trial's run."""
        run = self._trials.pop(record.trial, None)
        if run:
            self._client.set_tag(run.info.run_id, "state", record.state)
            self._client.set_terminated(run.info.run_id, "FAILED" if record.state == FAILED else "FINISHED")

    def close(self) -> None:
        """End the run of the search and the runs of interrupted trials. A resumed search continues them."""
        for run in self._trials.values():
            self._client.set_terminated(run.info.run_id, "KILLED")
        self._client.set_terminated(self._search.info.run_id)

    def _find_run(self, trial: int) -> Any:
        """Return the run of an interrupted trial, or None."""
        filters = f"tags.`mlflow.parentRunId` = '{self._search.info.run_id}' and tags.`bloodtune.trial` = '{trial}'"
        return next(iter(self._client.search_runs([self._experiment], filters)), None)

    def _create(self, tags: dict[str, str]) -> Any:
        return self._client.create_run(self._experiment, tags=tags)
