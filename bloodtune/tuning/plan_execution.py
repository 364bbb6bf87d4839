"""The execution of a planned search: queue, sampler and recorders driven by Ray Tune."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import pandas as pd
from ray import tune
from ray.tune import Callback

from bloodtune.command_line import INTERRUPTED, print_lines
from bloodtune.data.audit import standard_error
from bloodtune.errors import plural
from bloodtune.files import RUN_MODEL
from bloodtune.monitoring.live_view import clock
from bloodtune.monitoring.trackers import Trackers
from bloodtune.run import provenance
from bloodtune.run.directory import PROFILE, RunDirectory
from bloodtune.run.records import TrialRecord
from bloodtune.run.repair import RunRecords, repair
from bloodtune.tuning.driver_memory import ResultCleaner
from bloodtune.tuning.object_store import send_split
from bloodtune.tuning.phase_profile import Profiler
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.progress import Progress
from bloodtune.tuning.ray_patches import TUNE, applied
from bloodtune.tuning.recorder import RunRecorder, TrackerRecorder
from bloodtune.tuning.resume import next_command, predict_command
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.stopper import Interrupt
from bloodtune.tuning.trial_queue import TrialQueue
from bloodtune.tuning.tune_scheduler import QueueScheduler
from bloodtune.tuning.tune_searcher import QueueSearcher
from bloodtune.tuning.watchdog import Watchdog
from bloodtune.tuning.worker import WarmWorker

BANNER = "SYNTHETIC DATA: a stand-in drawn by a program; its scores say nothing about real blood cells"


def run_plan(plan: Plan, run: RunDirectory, start: dict[str, Any], examined: RunRecords | None = None) -> int:
    """Run a planned search into its run directory, on the Ray that is connected; return the exit code.

    ``start`` describes this start of the search; a run that was started before keeps its first description and
    lists this one under ``resumed``. ``examined`` are the records of a resumed run.
    """
    started = time.monotonic()
    records = repair(run, examined)
    print_lines(*records.notes)
    record = provenance.begin(run, start, records)
    trackers = Trackers(run, plan.track, print_lines)
    recorders = (RunRecorder(run, plan.recipe, records), TrackerRecorder(trackers))
    print_lines(recorders[0].note)
    sampler = StudySampler(plan.recipe, plan.seed)
    queue = TrialQueue(plan.recipe, sampler, budget=plan.budget, records=records, recorders=recorders)
    searcher = QueueSearcher(queue, run, seed=plan.seed)
    interrupt = Interrupt(plan.time_budget, lambda: searcher.failure)
    images = sum(plan.dataset.training_sizes)
    progress = Progress(queue, interrupt, title=run.name, workers=plan.workers, train_images=images)
    profiler = Profiler()
    _print_start(plan, run)
    try:
        with interrupt.listening(), progress:
            _tune(plan, _card(plan, run, start), searcher, interrupt, [progress, profiler])
    finally:
        seconds = time.monotonic() - started
        if plan.profile:
            _write_profile(run, profiler.table(plan.workers * seconds, queue.suggest_seconds))
        _print_end(plan, run, queue, interrupt.reason, seconds)
        print_lines(provenance.end(run, record, queue.repeated, seconds))
        trackers.close()  # last: it may take a minute
    if interrupt.by_signal:
        return INTERRUPTED
    return 1 if searcher.failure or queue.best() is None else 0


def _banner(plan: Plan) -> str:
    return BANNER if plan.dataset.synthetic else ""


def _print_start(plan: Plan, run: RunDirectory) -> None:
    first = f"run {run.path}: {plan.dataset.title}, budget {plan.budget}, {plural(plan.workers, 'worker')}"
    reasons = (f"{name} {value}{plan.reason(name)}" for name, value in plan.choices if plan.reason(name))
    print_lines(_banner(plan), first, *plan.dataset.findings(), *reasons)


def _print_end(plan: Plan, run: RunDirectory, queue: TrialQueue, reason: str, seconds: float) -> None:
    best = queue.best()
    score = f"best validation macro-F1 {_score(best, plan)}, trial {best.trial}" if best else "no score"
    print_lines(
        f"{reason}; paused and interrupted trials go on with --resume" if reason else "",
        f"{len(queue.finished)}/{plan.budget} trials in {clock(seconds)}",
        score + (_model_hint(run, len(plan.dataset.training_sizes)) if best and best.trial == queue.kept_trial else ""),
        _banner(plan),
        f"run directory: {run.path}",
        f"next: {next_command(run, plan, len(queue.finished))}",
    )


def _score(best: TrialRecord, plan: Plan) -> str:
    # With its standard error where few images are scored.
    score, data = best.best_val_macro_f1 or 0.0, plan.dataset
    is_small = bool(data.small_split_note())
    error = f" ± {standard_error(score, data.scored_counts):.3f} (standard error)" if is_small else ""
    return f"{score:.4f}{error}"


def _card(plan: Plan, run: RunDirectory, start: dict[str, Any]) -> dict[str, Any]:
    # What the cards of all models of the search share.
    data = provenance.describe_data_for_card(plan.dataset)
    names = {"class_names": list(plan.dataset.class_names)}
    return names | {"run": run.name, "git_commit": start.get("git_commit"), "data": data}


def _model_hint(run: RunDirectory, networks: int) -> str:
    if not (run.path / RUN_MODEL).exists():
        return ""  # runs of older versions have no model
    model = "its model counts" if networks == 1 else f"the first of its {networks} networks counts"
    return f"; {model} cells: {predict_command(run)}"


def _tune(
    plan: Plan,
    card: dict[str, Any],
    searcher: QueueSearcher,
    interrupt: Interrupt,
    callbacks: list[Callback],
) -> None:
    worker = tune.with_parameters(
        WarmWorker,
        train=send_split(plan.dataset.train),
        val=send_split(plan.dataset.val),
        folds=plan.dataset.folds,
        asha=plan.recipe.asha,
        device="cuda" if plan.gpus_per_trial else "cpu",
        checkpoint_every=plan.checkpoint_every,
        card=card,
        numerics=plan.numerics,
        profile=plan.profile,
    )
    with tempfile.TemporaryDirectory(prefix="bloodtune-tune-") as scratch, applied(TUNE):
        # Not tune.Tuner: it pickles searcher and callbacks for a restore that the run directory replaces.
        tune.run(
            tune.with_resources(worker, plan.resources_per_trial),
            search_alg=searcher,
            scheduler=QueueScheduler(searcher.queue),
            num_samples=-1,
            max_concurrent_trials=plan.workers,
            reuse_actors=True,
            stop=interrupt,
            callbacks=[*callbacks, Watchdog(searcher.queue.live, plan.epoch_limit), ResultCleaner()],
            name="search",
            storage_path=scratch,
            raise_on_failed_trial=False,
            verbose=0,
        )


def _write_profile(run: RunDirectory, table: pd.DataFrame) -> None:
    print_lines(*table.to_string(index=False).splitlines())
    try:
        table.to_csv(run.path / PROFILE, index=False)
    except OSError as error:  # such as a full disk
        print_lines(f"{run.path / PROFILE} cannot be written: {error}")
