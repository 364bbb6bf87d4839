"""Optuna behind Tune's Searcher interface: ask, report, prune, fail, record and resume."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import optuna
from ray.tune.search import Searcher

from bloodtune.monitoring.tracker import Tracker
from bloodtune.run.directory import CURVES, STUDY, RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, OBJECTIVE, PRUNED, EpochRecord, Proposal, TrialRecord, best_record
from bloodtune.run.study_db import StudyFile
from bloodtune.space.recipe import Recipe
from bloodtune.tuning.sampler import STATES, draw_seed, freeze, parameters_of, suggest

# How often a trial goes on in another process after its own has died, before it counts as failed.
RETRIES = 3


@dataclass
class LiveTrial:
    """A trial that was proposed and has not ended yet, with its epochs so far.

    ``overdue`` says why its worker had to be ended, or nothing.
    """

    proposal: Proposal
    started: str
    study_trial: optuna.Trial
    epochs: list[EpochRecord] = field(default_factory=list)
    retries: int = 0
    overdue: str = ""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Propose ``budget`` configurations, and put each proposal, epoch and finished trial on disk as it comes.

    The study that proposes lives in memory (a live SQLite study costs 35 ms a trial); finished trials are added to
    ``study.db``, so that nothing in it is ever RUNNING. Every draw is seeded by the study's seed and the
    trial's number: a resumed search does not repeat draws. What ASHA stops becomes PRUNED. A trial whose process died
    is proposed again, up to ``RETRIES`` times, and goes on from its last checkpoint.
    """

    def __init__(self, recipe: Recipe, run: RunDirectory, *, budget: int, seed: int) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self.tracker: Tracker | None = None
        self.epochs_before = 0  # those that interrupted trials had when they went on
        self.recipe = recipe
        self.run = run
        self.budget = budget
        self.finished: list[TrialRecord] = run.trials()
        self._best = best_record(self.finished)
        self.live: dict[str, LiveTrial] = {}
        self.repeated: list[EpochRecord] = []  # epochs that were trained again after a process had died
        self.suggest_seconds = 0.0
        self.failure = ""  # why the search cannot go on; Tune would swallow an exception and lose the trial
        self._seed = seed
        self._waiting: deque[LiveTrial] = deque()  # for another process
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize")  # each trial brings its sampler
        self._proposed = {proposal.trial: proposal for proposal in run.proposals()}
        self._begun: dict[int, list[EpochRecord]] = {}  # epochs of interrupted trials that go on
        self._replay()
        done = {record.trial for record in self.finished}
        self._numbers = (number for number in range(budget) if number not in done)  # interrupted ones first

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next configuration with its trial's number, seed and checkpoint, or FINISHED.

        While trials run it is None instead: a process may die yet, and Tune does not ask again after FINISHED.
        """
        live = None
        with self._guarded():
            live = self._waiting.popleft() if self._waiting else self._propose_next()
            if live is not None:
                checkpoint = self.run.checkpoint(live.proposal.trial) if live.epochs else None
        if self.failure or live is None:
            return None if self.live and not self.failure else str(Searcher.FINISHED)
        self.live[trial_id] = live
        return {
            "trial": live.proposal.trial,
            "seed": draw_seed(self._seed, live.proposal.trial),
            "configuration": live.proposal.configuration,
            "checkpoint": checkpoint,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a report that did not end its trial."""
        with self._guarded():
            live = self.live[trial_id]
            self._take_epochs(live, result)
            if checkpoint := result.pop("checkpoint", None):
                self.run.write_checkpoint(live.proposal.trial, checkpoint)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take in the last report of a trial that ASHA stopped, that reached its end or that failed.

        An ``error`` is the death of its process, without a report.
        """
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
            if error and live.retries < RETRIES and not live.overdue:
                live.retries += 1
                self._waiting.append(live)
                return
            if error or result.get("failure"):
                died = live.overdue or f"the worker process died, {RETRIES + 1} times"
                state, message = FAILED, str(result.get("failure", died))
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

    def rung_history(self) -> dict[int, dict[int, tuple[float, bool]]]:
        """Return of earlier trials, by number, the objective at each rung, and if they went on: where ASHA starts."""
        # A trial that failed after a rung, before its next epoch was reported, had gone on from there; one that was
        # interrupted goes on from its checkpoint.
        last = {record.trial: record.epochs + (record.state == FAILED) for record in self.finished}
        last |= {trial: len(epochs) + 1 for trial, epochs in self._begun.items()}
        curves = self.run.curves()
        curves = curves[curves.trial.isin(last)]
        history = {}
        for rung in self.recipe.asha.rungs:
            at_rung = curves[curves.epoch == rung]
            values = zip(at_rung.trial, at_rung.val_macro_f1, strict=True)
            history[rung] = {trial: (float(value), last[trial] > rung) for trial, value in values}
        return history

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failure = self.failure or f"cannot go on: {type(error).__name__}: {error}"

    def _replay(self) -> None:
        # Refills the study, and its file, from the records.
        curves: defaultdict[int, list[EpochRecord]] = defaultdict(list)
        for trial, epoch in self.run.read_lines(CURVES).whole():
            curves[trial].append(epoch)
        records = sorted(self.finished, key=lambda record: record.trial)
        trials = [freeze(record, curves.pop(record.trial, []), self.recipe) for record in records]
        for trial in trials:
            self._study.add_trial(trial)
        self._begun = curves
        self.study_file = StudyFile(self.run.path / STUDY, self.run.name, trials)
        if self._best:
            self.run.write_best(self._best)

    def _propose_next(self) -> LiveTrial | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        started = time.perf_counter()
        proposal, study_trial = self._propose(number)
        self.suggest_seconds += time.perf_counter() - started
        now = datetime.now(UTC).isoformat(timespec="seconds")
        live = LiveTrial(proposal, now, study_trial, list(self._begun.get(number, ())))
        for epoch in live.epochs:
            study_trial.report(epoch.val_macro_f1, epoch.epoch)
        self.epochs_before += len(live.epochs)
        return live

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
        epochs = result.get("epochs", ())
        fresh = [epoch for epoch in epochs if epoch.epoch > last]
        self.repeated += [epoch for epoch in epochs if epoch.epoch <= last]
        self.run.append_epochs(live.proposal.trial, fresh)
        live.epochs += fresh
        if self.tracker and fresh:
            self.tracker.epochs(live.proposal, fresh)
        for epoch in fresh:
            live.study_trial.report(epoch.val_macro_f1, epoch.epoch)

    def _finish(self, live: LiveTrial, state: str, message: str, parameters: int | None) -> None:
        record = _record(live, state, message, parameters)
        self.run.append_trial(record)
        self.finished.append(record)
        if self.tracker:
            self.tracker.finished(record)
        self._study.tell(live.study_trial, record.val_macro_f1 if state == COMPLETE else None, state=STATES[state])
        self.study_file.add(freeze(record, live.epochs, self.recipe))
        self.run.drop_checkpoints(record.trial)
        if best_record(filter(None, (self._best, record))) is record:
            self._best = record
            self.run.write_best(record)


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
        retries=live.retries,
        label=live.proposal.label,
        message=message,
        configuration=live.proposal.configuration,
    )
