"""Retraining of configurations over fresh seeds, in parallel through Ray; finished trainings are kept under the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.command_line import print_lines
from bloodtune.data.dataset import Dataset
from bloodtune.data.npz import Split
from bloodtune.files import check_writable
from bloodtune.inference.classifier import Classifier
from bloodtune.tuning.object_store import put_split
from bloodtune.tuning.retrained_models import Contender, TestedContender
from bloodtune.tuning.retraining_cache import (
    PROBABILITIES,
    Candidate,
    Trained,
    TrainingJob,
    find_jobs,
    keep,
    keep_array,
    read_contender,
)
from bloodtune.tuning.retraining_place import try_gpu
from bloodtune.tuning.retraining_workers import Scorer, Trainer, Workers, run_jobs

CACHE = "retrained"

# Trains jobs; the list may grow while results come.
TrainJobs = Callable[[Dataset, list[TrainingJob], Workers, Callable[[int, int], None]], Iterator[Trained]]


def train_jobs(
    dataset: Dataset, waiting: list[TrainingJob], workers: Workers, advance: Callable[[int, int], None]
) -> Iterator[Trained]:
    """Train jobs on Ray and yield their outcomes as they come; more jobs may be added to ``waiting`` meanwhile."""
    if not waiting:
        advance(0, 0)
        return
    workers = try_gpu(workers, dataset, [job.configuration for job in waiting])
    shared = put_split(dataset.train), put_split(dataset.val), dataset.class_names, dataset.folds

    def submit(trainer: Any, job: TrainingJob) -> Any:
        return trainer.train.remote(job, Classifier.load(job.teacher) if job.teacher else None)

    yield from run_jobs(Trainer, shared, submit, waiting, workers, advance)


def retrain(
    first: Sequence[Candidate],
    beside: Sequence[Candidate],
    then: Callable[[list[Contender]], Sequence[Candidate]],
    dataset: Dataset,
    folder: Path,
    *,
    seeds: int,
    workers: Workers,
    advance: Callable[[int, int], None],
    train: TrainJobs = train_jobs,
) -> list[Contender]:
    """Train each candidate ``seeds`` times; trainings that ``folder`` keeps already are not repeated.

    Args:
        first: candidates to train first, each with a label of its own.
        beside: further candidates, for workers that ``first`` leaves free.
        then: called with ``first`` and its trainings; returns the candidates to train next.
        dataset: training and validation split; the weights of the best validation epoch are kept.
        folder: the cache of trainings.
        seeds: trainings per candidate.
        workers: how many at a time, and where.
        advance: called with the number of finished trainings and of all trainings so far.
        train: trains the jobs, on Ray unless a test replaces it.

    Returns:
        The candidates with their trainings, in their order, without those that diverged in a first epoch.

    Raises:
        InputError: something is to be trained and ``folder`` cannot be written.
    """
    plan = _Plan(first, beside, then, dataset, folder, seeds, workers)
    if plan.waiting:  # a complete cache is read from a read-only run too
        check_writable(folder)
    for trained in _say_notes(train(dataset, plan.waiting, workers, advance)):
        keep(trained)
        plan.follow_up()
    return plan.read([*first, *beside, *plan.last])


def _say_notes(outcomes: Iterable[Trained]) -> Iterator[Trained]:
    # Each note once, whichever training it comes with.
    said = {""}
    for trained in outcomes:
        if trained.note not in said:
            said.add(trained.note)
            print_lines(trained.note)
        yield trained


class _Plan:
    """The jobs of a retraining: the longest of ``first``, then of what follows from it, then of ``beside``."""

    def __init__(
        self,
        first: Sequence[Candidate],
        beside: Sequence[Candidate],
        then: Callable[[list[Contender]], Sequence[Candidate]],
        dataset: Dataset,
        folder: Path,
        seeds: int,
        workers: Workers,
    ) -> None:
        self._first, self._then, self._is_asked = first, then, False
        self._dataset, self._folder, self._seeds, self._workers = dataset, folder, seeds, workers
        self.last: Sequence[Candidate] = ()
        self.waiting = list((self._missing(first) | self._missing(beside)).values())
        self.follow_up()

    def follow_up(self) -> None:
        """Put the jobs that follow from ``first`` in front, once all of its trainings are there."""
        if not self._is_asked and not self._missing(self._first):
            self._is_asked = True
            self.last = self._then(self.read(self._first))
            self.waiting[:0] = self._missing(self.last).values()

    def read(self, candidates: Sequence[Candidate]) -> list[Contender]:
        """Return candidates with their trainings, without those that diverged."""
        found = [read_contender(candidate, self._jobs(candidate)) for candidate in candidates]
        return [contender for contender in found if contender]

    def _missing(self, candidates: Sequence[Candidate]) -> dict[Path, TrainingJob]:
        # Each job once, also if candidates share it; the longest first, so that no worker is left with one at the end.
        jobs = [job for candidate in candidates for job in self._jobs(candidate) if not job.is_kept]
        return {job.folder: job for job in sorted(jobs, key=lambda job: job.cost, reverse=True)}

    def _jobs(self, candidate: Candidate) -> list[TrainingJob]:
        return find_jobs(candidate, self._folder, self._dataset, self._seeds, self._workers.numerics)


def score_test_split(
    contenders: Sequence[Contender], test: Split, *, workers: Workers, advance: Callable[[int, int], None]
) -> list[TestedContender]:
    """Predict the test images with all retrained models in one pass; each model's predictions are kept beside it."""
    models = dict.fromkeys(r.model for contender in contenders for r in contender.retrainings)
    waiting = [model for model in models if not (model / PROBABILITIES).exists()]
    shared = (put_split(test),) if waiting else ()

    def submit(scorer: Any, model: Path) -> Any:
        return scorer.score.remote(model, Classifier.load(model))

    for model, probabilities in run_jobs(Scorer, shared, submit, waiting, workers, advance):
        keep_array(model / PROBABILITIES, probabilities)
    return [
        TestedContender(contender, np.stack([np.load(r.model / PROBABILITIES) for r in contender.retrainings]))
        for contender in contenders
    ]
