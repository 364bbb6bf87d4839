"""Overhead of the search: empty trials per second through the real driver and workers.

python benchmarks/overhead.py
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np

from bloodtune.command_line import positive
from bloodtune.data.dataset import SYNTHETIC, Dataset, load_dataset
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import EpochRecord
from bloodtune.run.repair import RunRecords
from bloodtune.space.recipe import Asha, Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning import plan_execution, worker
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.ray_cluster import LOCAL, connect
from bloodtune.tuning.recorder import RunRecorder
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.trial_queue import TrialQueue
from bloodtune.tuning.tune_searcher import QueueSearcher
from common import make_parser, print_figures

REPORTS = 3

# Seconds that the first trial of a process waits for the other processes. Otherwise Tune gives each new trial to the
# first process and cancels its requests for the others.
STARTING = 3.0


class EmptyWorker(worker.WarmWorker):
    """A warm worker with empty epochs; their ``seconds`` are the time since the process last reported."""

    _epoch = 0
    _reported = 0.0

    def step(self) -> dict[str, Any]:
        """Report one epoch."""
        if not self._reported:
            time.sleep(STARTING)
        gap = time.perf_counter() - self._reported
        self._epoch += 1
        score = self._seed % 1000 / 1000
        report = self._report([EpochRecord(self._epoch, 1.0, 1.0, score, score, gap)])
        self._reported = time.perf_counter()
        return report

    def _begin(self, config: dict[str, Any]) -> None:
        super()._begin(config)
        self._epoch = 0


def run_empty(dataset: Dataset, recipe: Recipe, trials: int, workers: int, folder: Path) -> dict[str, Any]:
    """Run empty trials; return trials per second, the gaps between trials and the driver's memory per trial."""
    plan = Plan(recipe, trials, seed=0, dataset=dataset, workers=workers, gpus_per_trial=0, time_budget=None)
    with connect(LOCAL, workers=workers, image_bytes=dataset.bytes_to_copy) as resources:
        record = plan.describe_start(resources)
        run = RunDirectory.create(folder, "empty", recipe.text, record)
        resident: list[int] = []
        complete = QueueSearcher.on_trial_complete

        def complete_and_weigh(*arguments: Any, **keywords: Any) -> None:
            complete(*arguments, **keywords)
            resident.append(resident_bytes())

        started = time.perf_counter()
        with (
            mock.patch.object(plan_execution, "WarmWorker", EmptyWorker),
            mock.patch.object(QueueSearcher, "on_trial_complete", complete_and_weigh),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            code = plan_execution.run_plan(plan, run, record)
        seconds = time.perf_counter() - started
    if code or len(run.trials()) != trials:
        sys.exit(f"only {len(run.trials())} of {trials} empty trials ran")
    curves = run.curves()
    early = trials // 10  # earlier, packages are still being imported
    # The first trial of a process also starts the process.
    gaps = curves[(curves.epoch == 1) & (curves.trial >= 2 * workers)].seconds
    return {
        "trials": trials,
        "seconds": seconds,
        "trials_per_second": trials / seconds,
        "gap_seconds_median": float(gaps.median()),
        "gap_seconds_95": float(gaps.quantile(0.95)),
        "driver_kilobytes_per_trial": (resident[-1] - resident[early]) / max(1, trials - 1 - early) / 1000,
    }


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def time_suggestions(recipe: Recipe, finished: int, folder: Path, asked: int = 20) -> float:
    """Return the median seconds of a suggestion after ``finished`` trials with random scores of one epoch."""
    scores = np.random.default_rng(0).random(finished)
    run = RunDirectory.create(folder, f"after-{finished}", recipe.text, {})
    # The random sampler fills the study, because TPE would take minutes. Then TPE suggests from the same study.
    sampler = StudySampler(replace(recipe, sampler="random"), seed=0)
    recorder = RunRecorder(run, recipe, RunRecords())
    queue = TrialQueue(recipe, sampler, budget=finished + asked, recorders=[recorder])
    for number, score in enumerate(scores):
        queue.next()
        queue.report(number, [EpochRecord(1, 1.0, 1.0, score, score, 0.0)])
        queue.finish(number)
    sampler.recipe = recipe
    taken = []
    for _ in range(asked):
        started = time.perf_counter()
        queue.next()
        taken.append(time.perf_counter() - started)
    return median(taken)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="100 trials, suggestions after 100")
    parser.add_argument("--workers", type=positive, default=2, help="simultaneous trials (default: %(default)s)")
    parser.add_argument("--trials", type=positive, default=2000, help="empty trials (default: %(default)s)")
    parser.add_argument("--recipe", default="random", help="recipe of the empty trials (default: %(default)s)")
    arguments = parser.parse_args(argv)
    trials, counts = (100, [100]) if arguments.quick else (arguments.trials, [100, 1000, 10_000])
    dataset = load_dataset(arguments.data or SYNTHETIC)
    asha = Asha(max_epochs=REPORTS, first_rung=REPORTS, reduction_factor=3)
    with tempfile.TemporaryDirectory(prefix="bloodtune-overhead-") as folder:
        recipe = replace(load_recipe(arguments.recipe), asha=asha)
        figures = run_empty(dataset, recipe, trials, arguments.workers, Path(folder))
        suggestions = {count: time_suggestions(load_recipe("default"), count, Path(folder)) for count in counts}
    print(f"empty trials of {REPORTS} reports on {arguments.workers} workers")
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):32}{value:10.3f}")
    for count, seconds in suggestions.items():
        print(f"{f'suggestion after {count:,} trials, ms':32}{1000 * seconds:10.1f}")
    print_figures(figures | {"suggestion_seconds": suggestions}, dataset, {"CPU": arguments.workers})
    return 0


if __name__ == "__main__":
    sys.exit(main())
