"""Ray Tune's searcher: hands the queue's trials to Tune and Tune's reports to the queue."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from ray.tune.search import Searcher

from bloodtune.command_line import print_lines
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import OBJECTIVE
from bloodtune.tuning.sampler import draw_seed
from bloodtune.tuning.trial_queue import RETRIES, TrialQueue


class QueueSearcher(Searcher):  # type: ignore[misc]
    """The adapter between Tune's Searcher interface and a ``TrialQueue``.

    A trial that pauses ends for Tune. When it goes on, it is suggested again under its number, with its checkpoint; so
    is a trial whose process died, and one that may succeed without recorded steps. An exception here ends the search:
    Tune would swallow it and lose the trial.
    """

    def __init__(self, queue: TrialQueue, run: RunDirectory, *, seed: int) -> None:
        """``run`` keeps the checkpoints; ``seed`` is the study's, from which each trial's is drawn."""
        super().__init__(metric=OBJECTIVE, mode="max")
        self.queue = queue
        self.failure = ""  # why the search cannot go on
        self._run = run
        self._seed = seed
        self._numbers: dict[str, int] = {}  # of running trials, by Tune's id
        self._said = {""}
        self._turns = itertools.count()  # Tune's order of trials; one that goes on has a low number

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next configuration with its trial's number, turn, seed, checkpoint and score to beat, or FINISHED.

        While trials run, return None instead of FINISHED: a process may die, a paused trial may get a place, and Tune
        never calls ``suggest`` again after FINISHED.
        """
        live = checkpoint = None
        if self.failure:
            return str(Searcher.FINISHED)
        with self._guarded():
            live = self.queue.next()
            if live is not None and live.epochs:
                checkpoint = self._run.checkpoint(live.number)
        if self.failure or live is None:
            return None if self.queue.live and not self.failure else str(Searcher.FINISHED)
        self._numbers[trial_id] = live.number
        return {
            "trial": live.number,
            "turn": next(self._turns),
            "seed": draw_seed(self._seed, live.number),
            "configuration": live.proposal.configuration,
            "checkpoint": checkpoint,
            "to_beat": self.queue.score_to_beat(live),
            "record_steps": live.records_steps,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take a report that did not end its trial."""
        number = self._numbers[trial_id]
        with self._guarded():
            self._say(result)
            result.pop("model", None)  # a trial that goes on sends a later one
            self.queue.report(number, result.get("epochs", ()))
            if checkpoint := result.pop("checkpoint", None):  # at a rung too, where the trial may go on at once
                self._run.write_checkpoint(number, checkpoint)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take the last report of a trial that pauses, was pruned, reached its end or failed.

        An ``error`` is the death of its process, without a report.
        """
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        result = result or {}
        if result.get("broken"):
            # Every other trial would fail in the same way, so the search ends and this trial counts as interrupted.
            self.failure = self.failure or f"no worker can start: {result['broken']}"
            self.queue.drop(number)
            return
        with self._guarded():
            self._say(result)
            live = self.queue.live[number]
            live.parameters = result.get("parameters", live.parameters)
            self.queue.report(number, result.get("epochs", ()))
            if result.get("retry"):
                live.records_steps = False
            if (error or result.get("retry")) and self.queue.retry(number):
                return
            model = result.pop("model", None)
            if live.is_pausing and not error:
                # The model first: a trial with a checkpoint at a rung does not train that epoch again.
                self.queue.pause(number, model=model)
                self._run.write_checkpoint(number, result.pop("checkpoint"))
                return
            died = (live.overdue or f"the worker process died, {RETRIES + 1} times") if error else ""
            self.queue.finish(number, failure=str(result.get("failure") or died), model=model)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the run directory has everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a resumed search reads the run directory."""

    def _say(self, result: dict[str, Any]) -> None:
        # Each note once, whichever trial it comes with.
        if (note := result.get("note", "")) not in self._said:
            self._said.add(note)
            print_lines(note)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failure = self.failure or f"cannot go on: {type(error).__name__}: {error}"
