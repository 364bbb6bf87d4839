"""Optuna behind Tune's Searcher interface: ask, report, prune, fail, record and resume."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search import Searcher

from bloodtune.recipe import Recipe
from bloodtune.run import COMPLETE, FAILED, PRUNED, STUDY, EpochRecord, Proposal, RunDirectory, TrialRecord, best_record
from bloodtune.space import parameters_of, suggest
from bloodtune.study_file import StudyFile

OBJECTIVE: Final = "val_macro_f1"

_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}


@dataclass
class LiveTrial:
    """A trial that was proposed and has not ended yet, with its epochs so far."""

    proposal: Proposal
    started: str
    study_trial: optuna.Trial
    epochs: list[EpochRecord] = field(default_factory=list)


class StudySearcher(Searcher):  # type: ignore[misc]
    """Propose ``budget`` configurations, and put each proposal, epoch and finished trial on disk as it comes.

    The study that proposes lives in memory (a live SQLite study costs 35 ms a trial); finished trials are added to
    ``study.db``, so that nothing in it is ever RUNNING. Every draw is seeded by the study's seed and the
    trial's number: a resumed search does not repeat draws. What ASHA stops becomes PRUNED.
    """

    def __init__(self, recipe: Recipe, run: RunDirectory, *, budget: int, seed: int) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self.recipe = recipe
        self.run = run
        self.budget = budget
        self.finished: list[TrialRecord] = run.trials()
        self._best = best_record(self.finished)
        self.live: dict[str, LiveTrial] = {}
        self.suggest_seconds = 0.0
        self.failure = ""  # why the search cannot go on; Tune would swallow an exception and lose the trial
        self._seed = seed
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize")  # each trial brings its sampler
        self._file = StudyFile(run.path / STUDY, run.name)
        self._proposed = {proposal.trial: proposal for proposal in run.proposals()}
        self._ask_from = self._replay()

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the next configuration with its trial number and seed, or FINISHED."""
        number = next(self._ask_from, None)
        if number is None or self.failure:
            return str(Searcher.FINISHED)
        started = time.perf_counter()
        with self._guarded():
            proposal, study_trial = self._propose(number)
        self.suggest_seconds += time.perf_counter() - started
        if self.failure:
            return str(Searcher.FINISHED)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.live[trial_id] = LiveTrial(proposal, now, study_trial)
        return {
            "trial": number,
            "seed": draw_seed(self._seed, number),
            "configuration": proposal.configuration,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a report that did not end its trial."""
        with self._guarded():
            self._take_epochs(self.live[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take in the last report of a trial that ASHA stopped, that reached its end or that failed."""
        live = self.live.pop(trial_id, None)
        if live is None:
            return
        result = result or {}
        if result.get("broken"):
            # Every other trial would fail in the same way: the search stops, and this one counts as interrupted.
            self.failure = self.failure or f"no worker can start: {result['broken']}"
            return
        with self._guarded():
            self._take_epochs(live, result)
            if error or result.get("failure"):
                state, message = FAILED, str(result.get("failure", "the worker process died"))
            else:
                ended = bool(live.epochs) and live.epochs[-1].epoch >= self.recipe.asha.max_epochs
                state, message = (COMPLETE if ended else PRUNED), ""
            self._finish(live, state, message, result.get("parameters"))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the run directory has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a resumed search reads the run directory."""

    def best(self) -> TrialRecord | None:
        """Return the best trial so far, running ones included."""
        running = [_record(live, "RUNNING", "", None) for live in list(self.live.values())]
        return best_record(filter(None, (self._best, *running)))

    def rung_history(self) -> dict[int, list[tuple[float, bool]]]:
        """Return the objective of finished trials at each rung, and whether they went on: what ASHA starts from."""
        # A trial that failed after a rung, before its next epoch was reported, had gone on from there.
        last = {record.trial: record.epochs + (record.state == FAILED) for record in self.finished}
        curves = self.run.curves()
        curves = curves[curves.trial.isin(last)]
        history = {}
        for rung in self.recipe.asha.rungs:
            at_rung = curves[curves.epoch == rung]
            values = zip(at_rung.trial, at_rung.val_macro_f1, strict=True)
            history[rung] = [(float(value), last[trial] > rung) for trial, value in values]
        return history

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failure = self.failure or f"cannot go on: {type(error).__name__}: {error}"

    def _replay(self) -> Iterator[int]:
        # Refills the study from the records; returns the numbers still to run, interrupted trials first.
        curves = self.run.curves()
        for record in sorted(self.finished, key=lambda record: record.trial):
            curve = curves[curves.trial == record.trial]
            trial = _freeze(record, dict(zip(curve.epoch, curve.val_macro_f1, strict=True)), self.recipe)
            self._study.add_trial(trial)
            if record.trial not in self._file.stored:
                self._file.add(trial)
        done = {record.trial for record in self.finished}
        return iter([number for number in range(self.budget) if number not in done])

    def _propose(self, number: int) -> tuple[Proposal, optuna.Trial]:
        known = self._proposed.get(number)
        if known is None and number < len(self.recipe.enqueued):
            enqueued = self.recipe.enqueued[number]
            known = Proposal(number, enqueued.label, enqueued.configuration)
        if known is not None:
            parameters, _ = parameters_of(known.configuration, self.recipe)
            self._study.enqueue_trial(parameters)
        self._study.sampler = self._sampler(number)
        study_trial = self._study.ask()
        configuration = suggest(study_trial, self.recipe)
        proposal = known or Proposal(number, "", configuration)
        if number not in self._proposed:
            self.run.append_proposal(proposal)
            self._proposed[number] = proposal
        return proposal, study_trial

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        # Start-up trials are counted from the first sampled one: Optuna would count the enqueued ones too.
        seed = draw_seed(self._seed, number)
        startup = len(self.recipe.enqueued) + self.recipe.startup_trials
        if self.recipe.sampler != "tpe" or number < startup:
            return optuna.samplers.RandomSampler(seed)
        with warnings.catch_warnings():
            # `group` is marked experimental; without it only what every trial has is modelled jointly.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=1, multivariate=True, group=True, constant_liar=True
            )

    def _take_epochs(self, live: LiveTrial, result: dict[str, Any]) -> None:
        last = live.epochs[-1].epoch if live.epochs else 0
        fresh = [epoch for epoch in result.get("epochs", ()) if epoch.epoch > last]
        self.run.append_epochs(live.proposal.trial, fresh)
        live.epochs += fresh
        for epoch in fresh:
            live.study_trial.report(epoch.val_macro_f1, epoch.epoch)

    def _finish(self, live: LiveTrial, state: str, message: str, parameters: int | None) -> None:
        record = _record(live, state, message, parameters)
        self.run.append_trial(record)
        self.finished.append(record)
        self._study.tell(live.study_trial, record.val_macro_f1 if state == COMPLETE else None, state=_STATES[state])
        values = {epoch.epoch: epoch.val_macro_f1 for epoch in live.epochs}
        self._file.add(_freeze(record, values, self.recipe))
        if best_record(filter(None, (self._best, record))) is record:
            self._best = record
            self.run.write_best(record)


def draw_seed(seed: int, number: int) -> int:
    """Return the seed of one trial, below 2^32: another one for each trial, the same one in each process."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _freeze(record: TrialRecord, values: dict[int, float], recipe: Recipe) -> FrozenTrial:
    parameters, distributions = parameters_of(record.configuration, recipe)
    return create_trial(
        state=_STATES[record.state],
        value=record.val_macro_f1 if record.state == COMPLETE else None,
        params=parameters,
        distributions=distributions,
        intermediate_values=values,
        user_attrs={"trial": record.trial, "label": record.label, "message": record.message},
    )


def _record(live: LiveTrial, state: str, message: str, parameters: int | None) -> TrialRecord:
    last = live.epochs[-1] if live.epochs else None
    best = max(live.epochs, key=lambda epoch: epoch.val_macro_f1, default=None)
    return TrialRecord(
        trial=live.proposal.trial,
        state=state,
        epochs=last.epoch if last else 0,
        val_macro_f1=last.val_macro_f1 if last else None,
        best_val_macro_f1=best.val_macro_f1 if best else None,
        best_epoch=best.epoch if best else None,
        val_accuracy=last.val_accuracy if last else None,
        train_seconds=round(sum(epoch.seconds for epoch in live.epochs), 3),
        parameters=parameters,
        started=live.started,
        label=live.proposal.label,
        message=message,
        configuration=live.proposal.configuration,
    )
