"""The command line of the search: start Ray, run the study, write the run directory."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloodtune import account
from bloodtune.cluster import LOCAL, connect, resolve_address
from bloodtune.collector import leave
from bloodtune.data import SYNTHETIC, Dataset, load_dataset
from bloodtune.errors import InputError
from bloodtune.mend import examine
from bloodtune.numerics import AUTO, Numerics, check_precision
from bloodtune.parameter import reach
from bloodtune.plan import Plan, choose_gpu_share, choose_workers
from bloodtune.recipe import BOOK, Enqueued, Recipe, enqueue_first, load_recipe
from bloodtune.records import best_record, best_records
from bloodtune.run import PROFILE, PROVENANCE, RECIPE, RunDirectory, check_name, check_writable, plain_name
from bloodtune.search_parser import DEFAULT_BUDGET, DEFAULT_RECIPE, WARM_START, search_parser
from bloodtune.trackers import check_trackers

if TYPE_CHECKING:
    import pandas as pd
    from ray.tune import Callback

    from bloodtune.halving import HeldHalving
    from bloodtune.interrupt import Interrupt
    from bloodtune.searcher import StudySearcher
    from bloodtune.storage import Storage

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
BANNER = "SYNTHETIC DATA: a stand-in drawn by a program; its scores say nothing about real blood cells"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a search from the command line.

    Returns:
        0 at the end of the budget or of the time budget, 1 if no trial has a score or the records could not be
        written, 2 for input that cannot be used, 130 after Ctrl-C.
    """
    arguments = search_parser().parse_args(argv)
    try:
        return _list(Path(arguments.out)) if arguments.list else _search(arguments)[0]
    except InputError as error:
        _print(f"bloodtune: {error}")
        return 2
    except KeyboardInterrupt:
        _print("bloodtune: stopped")
        return INTERRUPTED


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
    _, run = _search(arguments)
    assert run is not None
    return run


def _list(out: Path) -> int:
    from rich.console import Console

    from bloodtune.listing import latest_name, list_runs, runs_table

    Console().print(runs_table(list_runs(out), latest_name(out)))
    return 0


def _search(arguments: argparse.Namespace) -> tuple[int, RunDirectory | None]:
    check_trackers(arguments.track)
    out = Path(arguments.out)
    storage = None if arguments.storage is None else _open_storage(arguments.storage)
    resumed = None if arguments.resume is None else _open_resumed(arguments, out, storage)
    before = resumed.read_json(PROVENANCE) if resumed else {}
    recipe = load_recipe(
        str(resumed.path / RECIPE) if resumed else DEFAULT_RECIPE if arguments.recipe is None else arguments.recipe,
        max_epochs=arguments.max_epochs,
    )
    if arguments.warm_start is not None:
        recipe = _warm_start(recipe, out, arguments.warm_start)
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
        numerics, reasons = _numerics(arguments.precision, before, dataset, recipe, "cuda" if share else "cpu")
        if resources.get("GPU") and arguments.gpus_per_trial is None and not arguments.dry_run:
            share = _share_gpus(dataset, recipe, resources, budget, numerics)
        workers = choose_workers(arguments.workers, resources, share, is_local=address == LOCAL)
        if not (arguments.workers or share) and address == LOCAL:
            from bloodtune.host_timing import choose_threads
            from bloodtune.sharing import heaviest

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
            _print(*corrections)
            print(plan)
            return 0, None
        record = account.describe_start(plan, resources)
        run = resumed or RunDirectory.create(out, name, recipe.text, record)
        if not resumed:
            held.enter_context(run.lock())
        if storage:
            held.enter_context(storage.mirror(run.path, _print))
        _print(*corrections)
        return run_plan(plan, run, record), run


def run_plan(plan: Plan, run: RunDirectory, start: dict[str, Any]) -> int:
    """Run a planned search into its run directory, on the Ray that is connected; returns the exit code.

    ``start`` describes this start of the search; a run that was started before keeps its first description and
    lists this one under ``resumed``.
    """
    from bloodtune.halving import HeldHalving
    from bloodtune.interrupt import Interrupt
    from bloodtune.profiler import Profiler
    from bloodtune.progress import Progress
    from bloodtune.screen import clock
    from bloodtune.searcher import StudySearcher
    from bloodtune.trackers import Trackers

    started = time.monotonic()
    record = account.begin(run, start, _print)
    searcher = StudySearcher(plan.recipe, run, budget=plan.budget, seed=plan.seed)
    searcher.tracker = trackers = Trackers(run, plan.track, _print)
    _print(searcher.study_file.note)
    interrupt = Interrupt(plan.time_budget, lambda: searcher.failure)
    scheduler = HeldHalving(plan.recipe.asha, searcher.rung_history(), enqueued=len(plan.recipe.enqueued))
    progress = Progress(
        searcher,
        interrupt,
        scheduler.needed,
        title=run.name,
        workers=plan.workers,
        train_images=len(plan.dataset.train.labels),
    )
    profiler = Profiler()
    banner = BANNER if plan.dataset.synthetic else ""
    _print(banner, f"run {run.path}: {plan.dataset.title}, budget {plan.budget}, {plan.workers} workers")
    _print(*(f"{name} {value}{plan.reason(name)}" for name, value in plan.choices if plan.reason(name)))
    try:
        with interrupt.listening(), progress:
            _tune(plan, searcher, scheduler, interrupt, [progress, profiler])
    finally:
        seconds = time.monotonic() - started
        if plan.profile:
            _write_profile(run, profiler.table(plan.workers * seconds, searcher.suggest_seconds))
        best = best_record(searcher.finished)
        _print(
            f"{interrupt.reason}; interrupted trials run again on resume" if interrupt.reason else "",
            f"{len(searcher.finished)}/{plan.budget} trials in {clock(seconds)}",
            f"best validation macro-F1 {best.best_val_macro_f1:.4f}, trial {best.trial}" if best else "no score",
            banner,
            f"run directory: {run.path}",
            f"next: {_next_command(run, plan, len(searcher.finished))}",
        )
        _print(account.end(run, record, searcher.repeated, seconds))
        trackers.close()  # last: it may take a minute
    if interrupt.by_signal:
        return INTERRUPTED
    return 1 if searcher.failure or best is None else 0


def _tune(
    plan: Plan, searcher: StudySearcher, scheduler: HeldHalving, interrupt: Interrupt, callbacks: list[Callback]
) -> None:
    from ray import tune

    from bloodtune.forgetting import Forgetting, fewer_questions
    from bloodtune.trainable import WarmWorker
    from bloodtune.watchdog import Watchdog, known_deaths

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
    with tempfile.TemporaryDirectory(prefix="bloodtune-tune-") as scratch, fewer_questions(), known_deaths():
        # Not tune.Tuner: it pickles searcher and callbacks for a restore that the run directory replaces.
        tune.run(
            tune.with_resources(worker, plan.resources_per_trial),
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=plan.workers,
            reuse_actors=True,
            stop=interrupt,
            callbacks=[*callbacks, Watchdog(searcher.live, plan.epoch_limit), Forgetting()],
            name="search",
            storage_path=scratch,
            raise_on_failed_trial=False,
            verbose=0,
        )


def _numerics(
    asked: str | None, before: dict[str, Any], dataset: Dataset, recipe: Recipe, device: str
) -> tuple[Numerics, dict[str, str]]:
    # Those of the run if it is resumed, so that its trials stay comparable; else the fastest on the hosts that train.
    from bloodtune.host_timing import time_hosts
    from bloodtune.sharing import heaviest

    known = Numerics.from_mapping(before)
    if known:
        if device == "cpu":
            check_precision(known.precision, device)
        return known, {"precision": "that of the run"}
    timing = time_hosts(dataset, heaviest(recipe), device=device, asked=asked or AUTO)
    return timing.numerics, {"precision": timing.reason}


def _share_gpus(
    dataset: Dataset, recipe: Recipe, resources: dict[str, float], budget: int, numerics: Numerics
) -> float:
    from bloodtune.sharing import calibrate

    _print("a GPU is there: measuring how many trials may share it; --gpus-per-trial says so at once")
    most = max(1, min(budget, int(resources["CPU"] / resources["GPU"])))
    calibration = calibrate(dataset, recipe, most=most, numerics=numerics)
    _print(str(calibration))
    return 1 / calibration.trials


def _place(arguments: argparse.Namespace) -> tuple[str, ...]:
    asked = {name: getattr(arguments, name) for name in ("workers", "gpus_per_trial", "address", "storage")}
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in asked.items() if value is not None]
    given += [("--track", name) for name in arguments.track]
    return tuple(itertools.chain.from_iterable(given))


def _open_storage(uri: str) -> Storage:
    from bloodtune.storage import Storage

    return Storage(uri)


def _open_resumed(arguments: argparse.Namespace, out: Path, storage: Storage | None) -> RunDirectory:
    if not arguments.resume:
        raise InputError("--resume: the name of a run is empty")
    if storage and not (out / arguments.resume).exists():
        check_writable(out)
        storage.fetch(arguments.resume, out)
    run = RunDirectory.open(out / arguments.resume)
    before = run.read_json(PROVENANCE)
    if not before:
        raise InputError(f"run {run.name} has no {PROVENANCE}: it cannot be told what it was; start it anew")
    for flag in ("recipe", "name", "max_epochs", "warm_start"):
        if getattr(arguments, flag) is not None:
            raise InputError(f"--{flag.replace('_', '-')} cannot be given with --resume: the run keeps its own")
    if arguments.seed not in (None, before["seed"]):
        raise InputError(f"--seed {arguments.seed}: run {run.name} has seed {before['seed']} and keeps it")
    known = before.get("precision", arguments.precision)
    if arguments.precision not in (None, AUTO, known):
        raise InputError(f"--precision {arguments.precision}: run {run.name} trains in {known} and keeps it")
    return run


def _warm_start(recipe: Recipe, out: Path, name: str) -> Recipe:
    if not name:
        raise InputError("--warm-start: the name of a run is empty")
    run = RunDirectory.open(out / name)
    known = {entry.configuration for entry in recipe.enqueued}
    candidates, reason = {}, "it has no other trial with a score than those of the recipe"
    for record in run.trials():
        if record.configuration in known:
            continue  # tried here anyway
        try:
            reach(record.configuration, recipe.parameters)
            candidates[record.configuration] = record
        except InputError as error:
            reason = f"trial {record.trial}: {error}"
    rungs = load_recipe(str(run.path / RECIPE)).asha.rungs
    best = best_records(candidates.values(), rungs, WARM_START)
    if not best:
        raise InputError(f"--warm-start {name}: nothing of that run can be tried here: {reason}")
    source = f"warm start from {run.name}"
    return enqueue_first(recipe, [Enqueued(f"{run.name} trial {r.trial}", source, r.configuration) for r in best])


def _budget(asked: int | None, before: dict[str, Any], recipe: Recipe, resumed: RunDirectory | None) -> int:
    budget = asked or int(before.get("budget", DEFAULT_BUDGET))
    if recipe.sampler == "enqueued" and budget > len(recipe.enqueued):
        if asked:
            _print(f"this recipe has {len(recipe.enqueued)} configurations and samples no more: budget lowered")
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
    _print(table.to_string(index=False))
    try:
        table.to_csv(run.path / PROFILE, index=False)
    except OSError as error:  # as above
        _print(f"{run.path / PROFILE} cannot be written: {error}")


def _next_command(run: RunDirectory, plan: Plan, finished: int) -> str:
    # As it is typed where the search was started: without an activated environment, with the path of its Python.
    found = shutil.which("python")
    python = "python" if found and Path(found).absolute() == Path(sys.executable) else os.path.relpath(sys.executable)
    if finished == plan.budget:
        return shlex.join([python, os.path.relpath(BOOK.parent / "analysis" / "summarize.py"), str(run.path)])
    out = [] if run.path.parent == Path("runs") else ["--out", str(run.path.parent)]
    return shlex.join([python, "-m", "bloodtune.search", "--resume", run.name, *out, *plan.place])


def _print(*lines: str) -> None:
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    leave(main())
