"""The driver of a search: start Ray, run the study, write the run directory."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloodtune.data.dataset import SYNTHETIC, Dataset, load_dataset
from bloodtune.errors import InputError
from bloodtune.files import check_writable
from bloodtune.monitoring.trackers import check_trackers
from bloodtune.run import provenance
from bloodtune.run.directory import PROFILE, PROVENANCE, RECIPE, RunDirectory, check_name, plain_name
from bloodtune.run.records import best_record
from bloodtune.run.repair import examine
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.numerics import AUTO, Numerics, check_precision
from bloodtune.tuning.flags import DEFAULT_BUDGET, DEFAULT_RECIPE, search_parser
from bloodtune.tuning.plan import Plan, choose_gpu_share, choose_workers
from bloodtune.tuning.ray_cluster import LOCAL, connect, resolve_address
from bloodtune.tuning.resume import next_command, open_resumed, warm_start

if TYPE_CHECKING:
    import pandas as pd
    from ray.tune import Callback

    from bloodtune.run.mirror import Storage
    from bloodtune.tuning.host_timing import HostTimer
    from bloodtune.tuning.scheduler import RuleScheduler
    from bloodtune.tuning.searcher import QueueSearcher
    from bloodtune.tuning.stopper import Interrupt


INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
BANNER = "SYNTHETIC DATA: a stand-in drawn by a program; its scores say nothing about real blood cells"


def run_search(
    *,
    recipe: str | None = None,
    budget: int | None = None,
    data: str | Path | None = None,
    max_epochs: int | None = None,
    time_budget: float | None = None,
    seed: int | None = None,
    workers: int | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    resume: str | None = None,
    **others: Any,
) -> RunDirectory:
    """Run a search, as ``python -m bloodtune.search`` does, and return its run directory.

    The arguments are the command line's, ``time_budget`` in seconds; ``others`` are its further ones, such as
    ``warm_start`` or ``storage``. A search that is interrupted returns too: ``resume`` goes on with it.

    Raises:
        InputError: something that was given cannot be used.
        TypeError: the command line has no such argument.
    """
    given = others | {"recipe": recipe, "budget": budget, "max_epochs": max_epochs, "time_budget": time_budget}
    given |= {"seed": seed, "workers": workers, "name": name, "resume": resume}
    if isinstance(others.get("track"), str):
        given["track"] = [others["track"]]
    given |= {key: str(path) for key, path in (("data", data), ("out", out)) if path is not None}
    arguments = search_parser().parse_args([])
    for key, value in given.items():
        if key not in vars(arguments) or key in ("dry_run", "list"):
            raise TypeError(f"run_search() has no argument {key!r}")
        if value is not None:
            setattr(arguments, key, value)
    _, run = search_with(arguments)
    assert run is not None
    return run


def search_with(arguments: argparse.Namespace) -> tuple[int, RunDirectory | None]:
    """Run the search that parsed arguments ask for; return its exit code and its run, None of a dry run."""
    check_trackers(arguments.track)
    out = Path(arguments.out)
    storage = None if arguments.storage is None else _open_storage(arguments.storage)
    resumed = None if arguments.resume is None else open_resumed(arguments, out, storage)
    before = resumed.read_json(PROVENANCE) if resumed else {}
    recipe = load_recipe(
        str(resumed.path / RECIPE) if resumed else DEFAULT_RECIPE if arguments.recipe is None else arguments.recipe,
        max_epochs=arguments.max_epochs,
    )
    if arguments.warm_start is not None:
        recipe = warm_start(recipe, out, arguments.warm_start)
    budget = _budget(arguments.budget, before, recipe, resumed)
    check_writable(resumed.path if resumed else out)
    address = resolve_address(arguments.address)
    dataset = _load_data(arguments.data, before, address)
    name = resumed.name if resumed else _name(arguments.name, out, dataset)
    if not resumed:
        check_name(out, name)
    with contextlib.ExitStack() as held:
        if resumed and not arguments.dry_run:
            held.enter_context(resumed.lock())  # before Ray is started, which takes seconds
        resources = held.enter_context(connect(address, workers=arguments.workers, image_bytes=dataset.image_bytes))
        share = choose_gpu_share(arguments.gpus_per_trial, resources, is_local=address == LOCAL)
        timer = _start_timer(arguments.precision, before, dataset, recipe, "cuda" if share else "cpu")
        import bloodtune.tuning.searcher
        import bloodtune.tuning.worker  # noqa: F401, heavy imports while the hosts measure

        numerics, reasons = _numerics(before, timer)
        if resources.get("GPU") and arguments.gpus_per_trial is None and not arguments.dry_run:
            share = _share_gpus(dataset, recipe, resources, budget, numerics)
        workers = choose_workers(arguments.workers, resources, share, is_local=address == LOCAL)
        if not (arguments.workers or share) and address == LOCAL:
            from bloodtune.tuning.gpu_sharing import heaviest
            from bloodtune.tuning.host_timing import choose_threads

            workers, reasons["workers"] = choose_threads(dataset, heaviest(recipe), numerics, fitting=workers)
        plan = Plan(
            recipe=recipe,
            budget=budget,
            seed=before.get("seed", 0) if arguments.seed is None else arguments.seed,
            dataset=dataset,
            workers=workers,
            numerics=numerics,
            reasons=reasons,
            gpus_per_trial=share,
            time_budget=arguments.time_budget,
            epoch_limit=arguments.epoch_limit,
            checkpoint_every=arguments.checkpoint_every,
            place=_place(arguments),
            track=tuple(arguments.track),
            profile=arguments.profile,
        )
        corrections = plan.corrections(arguments.workers)
        if arguments.dry_run:
            print_lines(*corrections)
            print(plan)
            return 0, None
        record = describe_start(plan, resources)
        run = resumed or RunDirectory.create(out, name, recipe.text, record)
        if not resumed:
            held.enter_context(run.lock())
        if storage:
            held.enter_context(storage.mirror(run.path, print_lines))
        print_lines(*corrections)
        return run_plan(plan, run, record), run


def run_plan(plan: Plan, run: RunDirectory, start: dict[str, Any]) -> int:
    """Run a planned search into its run directory, on the Ray that is connected; returns the exit code.

    ``start`` describes this start of the search; a run that was started before keeps its first description and
    lists this one under ``resumed``.
    """
    from bloodtune.monitoring.live_view import clock
    from bloodtune.monitoring.trackers import Trackers
    from bloodtune.tuning.asha import CappedHalving
    from bloodtune.tuning.profiler import Profiler
    from bloodtune.tuning.progress import Progress
    from bloodtune.tuning.recorder import RunRecorder, TrackerRecorder
    from bloodtune.tuning.sampler import StudySampler
    from bloodtune.tuning.scheduler import RuleScheduler
    from bloodtune.tuning.searcher import QueueSearcher
    from bloodtune.tuning.stopper import Interrupt
    from bloodtune.tuning.trial_queue import TrialQueue

    started = time.monotonic()
    record, records = provenance.begin(run, start, print_lines)
    recorder = RunRecorder(run, plan.recipe, records)
    print_lines(recorder.note)
    trackers = Trackers(run, plan.track, print_lines)
    queue = TrialQueue(
        plan.recipe,
        StudySampler(plan.recipe, plan.seed),
        budget=plan.budget,
        records=records,
        recorders=[recorder, TrackerRecorder(trackers)],
    )
    searcher = QueueSearcher(queue, run, seed=plan.seed)
    rule = CappedHalving(plan.recipe.asha, queue.rung_history(), enqueued=len(plan.recipe.enqueued))
    interrupt = Interrupt(plan.time_budget, lambda: searcher.failure)
    progress = Progress(
        queue,
        interrupt,
        rule.needed,
        title=run.name,
        workers=plan.workers,
        train_images=len(plan.dataset.train.labels),
    )
    profiler = Profiler()
    banner = BANNER if plan.dataset.synthetic else ""
    print_lines(banner, f"run {run.path}: {plan.dataset.title}, budget {plan.budget}, {plan.workers} workers")
    print_lines(*(f"{name} {value}{plan.reason(name)}" for name, value in plan.choices if plan.reason(name)))
    try:
        with interrupt.listening(), progress:
            _tune(plan, searcher, RuleScheduler(rule, queue), interrupt, [progress, profiler])
    finally:
        seconds = time.monotonic() - started
        if plan.profile:
            _write_profile(run, profiler.table(plan.workers * seconds, queue.suggest_seconds))
        best = best_record(queue.finished)
        print_lines(
            f"{interrupt.reason}; interrupted trials run again on resume" if interrupt.reason else "",
            f"{len(queue.finished)}/{plan.budget} trials in {clock(seconds)}",
            f"best validation macro-F1 {best.best_val_macro_f1:.4f}, trial {best.trial}" if best else "no score",
            banner,
            f"run directory: {run.path}",
            f"next: {next_command(run, plan, len(queue.finished))}",
        )
        print_lines(provenance.end(run, record, queue.repeated, seconds))
        trackers.close()  # last: it may take a minute
    if interrupt.by_signal:
        return INTERRUPTED
    return 1 if searcher.failure or best is None else 0


def _tune(
    plan: Plan, searcher: QueueSearcher, scheduler: RuleScheduler, interrupt: Interrupt, callbacks: list[Callback]
) -> None:
    from ray import tune

    from bloodtune.tuning.ray_patches import TUNE, applied
    from bloodtune.tuning.result_cleaner import ResultCleaner
    from bloodtune.tuning.watchdog import Watchdog
    from bloodtune.tuning.worker import WarmWorker

    worker = tune.with_parameters(
        WarmWorker,
        train=plan.dataset.train,
        val=plan.dataset.val,
        asha=plan.recipe.asha,
        device="cuda" if plan.gpus_per_trial else "cpu",
        checkpoint_every=plan.checkpoint_every,
        numerics=plan.numerics,
        profile=plan.profile,
    )
    with tempfile.TemporaryDirectory(prefix="bloodtune-tune-") as scratch, applied(TUNE):
        # Not tune.Tuner: it pickles searcher and callbacks for a restore that the run directory replaces.
        tune.run(
            tune.with_resources(worker, plan.resources_per_trial),
            search_alg=searcher,
            scheduler=scheduler,
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


def _start_timer(
    asked: str | None, before: dict[str, Any], dataset: Dataset, recipe: Recipe, device: str
) -> HostTimer | None:
    # None where the run is resumed and says what it trains in.
    from bloodtune.tuning.gpu_sharing import heaviest
    from bloodtune.tuning.host_timing import HostTimer

    known = Numerics.from_mapping(before)
    if known is None:
        return HostTimer(dataset, heaviest(recipe), device=device, asked=asked or AUTO)
    if device == "cpu":
        check_precision(known.precision, device)
    return None


def _numerics(before: dict[str, Any], timer: HostTimer | None) -> tuple[Numerics, dict[str, str]]:
    if timer:
        timing = timer.result()
        return timing.numerics, {"precision": timing.reason}
    known = Numerics.from_mapping(before)
    assert known is not None
    return known, {"precision": "that of the run"}


def _share_gpus(
    dataset: Dataset, recipe: Recipe, resources: dict[str, float], budget: int, numerics: Numerics
) -> float:
    from bloodtune.tuning.gpu_sharing import calibrate

    print_lines("a GPU is there: measuring how many trials may share it; --gpus-per-trial says so at once")
    most = max(1, min(budget, int(resources["CPU"] / resources["GPU"])))
    calibration = calibrate(dataset, recipe, most=most, numerics=numerics)
    print_lines(str(calibration))
    return 1 / calibration.trials


def _place(arguments: argparse.Namespace) -> tuple[str, ...]:
    asked = {name: getattr(arguments, name) for name in ("workers", "gpus_per_trial", "address", "storage")}
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in asked.items() if value is not None]
    given += [("--track", name) for name in arguments.track]
    return tuple(itertools.chain.from_iterable(given))


def _open_storage(uri: str) -> Storage:
    from bloodtune.run.mirror import Storage

    return Storage(uri)


def _budget(asked: int | None, before: dict[str, Any], recipe: Recipe, resumed: RunDirectory | None) -> int:
    budget = asked or int(before.get("budget", DEFAULT_BUDGET))
    if recipe.sampler == "enqueued" and budget > len(recipe.enqueued):
        if asked:
            print_lines(f"this recipe has {len(recipe.enqueued)} configurations and samples no more: budget lowered")
        budget = len(recipe.enqueued)
    finished = len(examine(resumed).trials) if resumed else 0
    if budget < finished:
        raise InputError(f"--budget {budget}: the run has {finished} finished trials already")
    return budget


def _load_data(asked: str | None, before: dict[str, Any], address: str) -> Dataset:
    known = before.get("data")
    source = known["source"] if known and asked is None else asked
    dataset = load_dataset(source, cluster=address != LOCAL)
    if known and dataset.md5 != known["md5"]:
        raise InputError(
            f"the run belongs to other data: {known['source']} (MD5 {known['md5']}), "
            f"not {dataset.source} (MD5 {dataset.md5})"
        )
    return dataset


def _name(asked: str | None, out: Path, dataset: Dataset) -> str:
    if asked is not None:
        return asked if not dataset.synthetic or SYNTHETIC in asked else f"{asked}-{SYNTHETIC}"
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{plain_name(dataset.title)}"
    return stem if not (out / stem).exists() else f"{stem}-{os.getpid()}"


def _write_profile(run: RunDirectory, table: pd.DataFrame) -> None:
    print_lines(table.to_string(index=False))
    try:
        table.to_csv(run.path / PROFILE, index=False)
    except OSError as error:  # as above
        print_lines(f"{run.path / PROFILE} cannot be written: {error}")


def print_lines(*lines: str) -> None:
    """Print lines to stderr; empty ones are left out."""
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


def describe_start(plan: Plan, resources: dict[str, float]) -> dict[str, Any]:
    """Return what ``run_plan`` puts on record of this start; ``resources`` are those of the Ray that is connected."""
    return {
        **provenance.describe_software(),
        "seed": plan.seed,
        "budget": plan.budget,
        "recipe": plan.recipe.description,
        "max_epochs": plan.recipe.asha.max_epochs,
        "workers": plan.workers,
        "gpus_per_trial": plan.gpus_per_trial,
        **plan.numerics.to_mapping(),
        "reasons": dict(plan.reasons),
        "devices": provenance.describe_machine(resources),
        "data": provenance.describe_data(plan.dataset),
        "started": provenance.now(),
    }
