"""The driver of a search: options to a plan on the Ray at hand, then its execution into a run directory."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloodtune.command_line import print_lines
from bloodtune.data.dataset import SYNTHETIC, Dataset
from bloodtune.data.partition import write_splits
from bloodtune.data.preparation import SPLITS_FILE
from bloodtune.errors import InputError, printable
from bloodtune.files import check_writable
from bloodtune.monitoring.trackers import check_trackers
from bloodtune.run.directory import RECIPE, RUNS, RunDirectory, check_name, plain_name
from bloodtune.run.provenance import read_provenance
from bloodtune.run.repair import RunRecords, examine
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import is_own
from bloodtune.space.parameter import combinations
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.options import (
    CHECKPOINT_EVERY,
    DEFAULT_BUDGET,
    DEFAULT_RECIPE,
    EPOCH_LIMIT,
    SearchOptions,
)
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.ray_cluster import LOCAL, connect, resolve_address
from bloodtune.tuning.resume import open_resumed, warm_start
from bloodtune.tuning.search_data import load_data

if TYPE_CHECKING:
    from bloodtune.run.mirror import Storage


def run_search(
    *,
    recipe: str | None = None,
    budget: int | None = None,
    data: str | Path | None = None,
    size: int | None = None,
    crop: int | None = None,
    without: str | Sequence[str] = (),
    skip_unreadable: bool = False,
    drop_copies: bool = False,
    folds: int | None = None,
    warm_start: str | None = None,
    max_epochs: int | None = None,
    time_budget: float | None = None,
    epoch_limit: float = EPOCH_LIMIT,
    seed: int | None = None,
    workers: int | None = None,
    gpus_per_trial: float | None = None,
    precision: str | None = None,
    address: str | None = None,
    name: str | None = None,
    out: str | Path = RUNS,
    storage: str | None = None,
    track: str | Sequence[str] = (),
    resume: str | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    profile: bool = False,
) -> RunDirectory:
    """Run a search, as ``python -m bloodtune.search`` does, and return its run directory.

    The arguments are the fields of ``SearchOptions``, times in seconds. ``resume`` continues an interrupted search.

    Raises:
        InputError: an argument has a value that cannot be used; the message names it.
    """
    options = locals() | {"data": None if data is None else str(data), "out": str(out)}
    options |= {name: (v,) if isinstance(v, str) else tuple(v) for name, v in (("track", track), ("without", without))}
    _, run = search(SearchOptions(**options))
    assert run is not None, "only a dry run has no run directory"
    return run


@dataclass(frozen=True)
class _Request:
    """Options with the run, recipe and data that they name. ``before`` is the provenance of a resumed run."""

    options: SearchOptions
    resumed: RunDirectory | None
    before: dict[str, Any]
    recipe: Recipe
    budget: int
    address: str
    dataset: Dataset
    name: str
    storage: Storage | None

    @property
    def is_local(self) -> bool:
        """True if the search starts Ray on this machine."""
        return self.address == LOCAL


def search(options: SearchOptions, *, dry_run: bool = False) -> tuple[int, RunDirectory | None]:
    """Run a search; return its exit code and its run directory, or None after a dry run, which prints the plan.

    Raises:
        InputError: the options cannot be used.
    """
    request = _read_request(options)
    with contextlib.ExitStack() as held:
        if request.resumed and not dry_run:
            held.enter_context(request.resumed.lock())  # before Ray is started, which takes seconds
        examined = _examine(request)
        sources = _check_own_families(request.recipe, request.dataset)
        resources = held.enter_context(
            connect(
                request.address, workers=options.workers, image_bytes=request.dataset.bytes_to_copy, sources=sources
            )
        )
        plan = _make_plan(request, resources, dry_run)
        print_lines(*plan.corrections(options.workers))
        if dry_run:
            print(*map(printable, str(plan).splitlines()), sep="\n")
            return 0, None
        record = plan.describe_start(resources)
        run = request.resumed or _create_run(request, record, held)
        if request.storage:
            held.enter_context(request.storage.mirror(run.path, print_lines))
        from bloodtune.tuning.plan_execution import run_plan

        return run_plan(plan, run, record, examined), run


def _read_request(options: SearchOptions) -> _Request:
    check_trackers(options.track)
    out = Path(options.out)
    storage = None if options.storage is None else _open_storage(options.storage)
    resumed = None if options.resume is None else open_resumed(options, out, storage)
    before = read_provenance(resumed) if resumed else {}
    asked = DEFAULT_RECIPE if options.recipe is None else options.recipe
    recipe = load_recipe(str(resumed.path / RECIPE) if resumed else asked, max_epochs=options.max_epochs)
    if options.warm_start is not None:
        recipe = warm_start(recipe, out, options.warm_start)
    budget = _budget(options.budget, before, recipe)
    check_writable(resumed.path if resumed else out)
    address = resolve_address(options.address)
    dataset = load_data(options, before, resumed, address != LOCAL)
    name = resumed.name if resumed else _name(options.name, out, dataset)
    if not resumed:
        check_name(out, name)
    return _Request(options, resumed, before, recipe, budget, address, dataset, name, storage)


def _check_own_families(recipe: Recipe, dataset: Dataset) -> list[str]:
    # Returns the user's modules that other hosts need.
    families = {values["family"] for values in combinations(recipe.parameters)}
    if not any(map(is_own, families)):
        return []
    # With torch, which this process does not load otherwise.
    from bloodtune.training.models import check_own_families
    from bloodtune.training.models.user_networks import sources_to_send

    size, channels = dataset.train.images.shape[1], dataset.train.images.shape[3]
    configurations = [Configuration.from_mapping(values) for values in combinations(recipe.parameters)]
    check_own_families(configurations, channels=channels, classes=len(dataset.class_names), size=size)
    return sources_to_send(families)


def _make_plan(request: _Request, resources: dict[str, float], dry_run: bool) -> Plan:
    # Imported here, because they import Ray.
    from bloodtune.tuning.gpu_sharing import heaviest
    from bloodtune.tuning.placement import Placer

    options = request.options
    place = Placer(
        options=options,
        dataset=request.dataset,
        configurations=heaviest(request.recipe),
        budget=request.budget,
        before=request.before,
        resources=resources,
        is_local=request.is_local,
        dry_run=dry_run,
    ).place()
    return Plan(
        recipe=request.recipe,
        budget=request.budget,
        seed=request.before.get("seed", 0) if options.seed is None else options.seed,
        dataset=request.dataset,
        workers=place.workers,
        numerics=place.numerics,
        reasons=place.reasons,
        gpus_per_trial=place.gpus_per_trial,
        time_budget=options.time_budget,
        epoch_limit=options.epoch_limit,
        checkpoint_every=options.checkpoint_every,
        place=_place(options),
        track=options.track,
        profile=options.profile,
    )


def _place(options: SearchOptions) -> tuple[str, ...]:
    # The flags that a resumed search needs again.
    asked = {name: getattr(options, name) for name in ("workers", "gpus_per_trial", "address", "storage")}
    times = {"epoch_limit": EPOCH_LIMIT, "checkpoint_every": CHECKPOINT_EVERY}
    asked |= {name: f"{getattr(options, name):g}" for name, usual in times.items() if getattr(options, name) != usual}
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in asked.items() if value is not None]
    given += [("--track", name) for name in options.track]
    return tuple(itertools.chain.from_iterable(given))


def _open_storage(uri: str) -> Storage:
    from bloodtune.run.mirror import Storage

    return Storage(uri)


def _examine(request: _Request) -> RunRecords | None:
    # The records of a resumed run, read once and under its lock.
    if request.resumed is None:
        return None
    records = examine(request.resumed)
    if request.budget < len(records.trials):
        raise InputError(f"--budget {request.budget}: the run has {len(records.trials)} finished trials already")
    started = max((proposal.trial for proposal in records.proposals), default=-1) + 1
    if request.budget < started:
        raise InputError(f"--budget {request.budget}: the run has started {started} trials already")
    return records


def _budget(asked: int | None, before: dict[str, Any], recipe: Recipe) -> int:
    budget = asked or before.get("budget", DEFAULT_BUDGET)
    if recipe.sampler == "enqueued" and budget > len(recipe.enqueued):
        if asked:
            print_lines(f"--budget {budget}: this recipe has only {len(recipe.enqueued)} configurations; all are tried")
        budget = len(recipe.enqueued)
    return budget


def _create_run(request: _Request, record: dict[str, Any], held: contextlib.ExitStack) -> RunDirectory:
    def prepare(run: RunDirectory) -> None:
        held.enter_context(run.lock())
        if request.dataset.rows:
            write_splits(run.path / SPLITS_FILE, request.dataset.rows)

    return RunDirectory.create(Path(request.options.out), request.name, request.recipe.text, record, prepare)


def _name(asked: str | None, out: Path, dataset: Dataset) -> str:
    if asked is not None:
        return asked if not dataset.synthetic or SYNTHETIC in asked else f"{asked}-{SYNTHETIC}"
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{plain_name(dataset.title)}"
    return stem if not (out / stem).exists() else f"{stem}-{os.getpid()}"
