"""Small runs on disk, and what a resumed search, a list of runs and a summary read of them."""

from __future__ import annotations

from pathlib import Path

from bloodtune.data.dataset import load_dataset
from bloodtune.data.partition import write_splits
from bloodtune.data.preparation import SPLITS_FILE
from bloodtune.run import provenance
from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.directory import BEST, CURVES, PROPOSALS, PROVENANCE, RECIPE, STUDY, TRIALS, RunDirectory
from bloodtune.run.overview import list_runs, runs_table
from bloodtune.run.records import EpochRecord
from bloodtune.run.repair import RunRecords, examine, repair
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.driver import _examine, _read_request
from bloodtune.tuning.options import SearchOptions
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.recorder import RunRecorder
from bloodtune.tuning.resume import warm_start
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.trial_queue import TrialQueue
from folder_fixtures import class_files, write_photographs
from mutations import Files
from run_fixtures import make_searcher, report
from summary_data import SearchRecords

_RECORDS = (TRIALS, CURVES, PROPOSALS, STUDY, BEST)
_BUDGET = 6


def _search(folder: Path) -> RunDirectory:
    """Make a run with finished, pruned, failed, paused and interrupted trials."""
    searcher = make_searcher(folder, budget=_BUDGET)
    queue = searcher.queue
    for score in (0.4, 0.8, 0.6, 0.7):
        live = queue.next()
        assert live is not None
        queue.report(live.number, [EpochRecord(1, 1.0, 1.0, score, score, 0.5)])
        verdict = queue.decide(live.number, 1, score)
        if verdict == "pause":
            queue.pause(live.number)
        else:
            queue.finish(live.number, failure="loss is nan" if score == 0.6 else "")
    searcher.run.write_checkpoint(1, Checkpoint(1, b"state", 10))
    queue.next()
    return searcher.run


def _files(run: RunDirectory, names: tuple[str, ...]) -> dict[str, bytes]:
    return {f"runs/run/{name}": (run.path / name).read_bytes() for name in names if (run.path / name).exists()}


def write_records(folder: Path) -> list[Files]:
    """Write a run; return its records."""
    return [_files(_search(folder), _RECORDS)]


def read_records(folder: Path) -> None:
    """List, warm-start from, summarize and resume a run whose records are damaged."""
    run = RunDirectory.open(folder / "runs" / "run")
    recipe = load_recipe(str(run.path / RECIPE))
    runs_table(list_runs(folder / "runs"), None)
    records = repair(run, examine(run))
    assert not run.read_records(TRIALS).damaged
    recorder = RunRecorder(run, recipe, records)
    queue = TrialQueue(recipe, StudySampler(recipe, 0), budget=_BUDGET, records=records, recorders=[recorder])
    for _ in range(_BUDGET):
        live = queue.next()
        if live is None:
            break
        run.checkpoint(live.number)
        last = live.epochs[-1].epoch if live.epochs else 0
        if last < recipe.asha.last_epoch:
            queue.report(live.number, report([last + 1], 0.5)["epochs"])
        queue.finish(live.number)
    SearchRecords.read(run)
    warm_start(recipe, folder / "runs", "run")


def write_resumable(folder: Path) -> list[Files]:
    """Write a run on a folder of photographs; return what describes it."""
    photographs = write_photographs(folder / "cells", class_files(6))
    run = _search(folder)
    dataset = load_dataset(str(photographs))
    write_splits(run.path / SPLITS_FILE, dataset.rows)
    recipe = load_recipe(str(run.path / RECIPE))
    plan = Plan(recipe=recipe, budget=_BUDGET, seed=0, dataset=dataset, workers=1, gpus_per_trial=0.0, time_budget=None)
    record = plan.describe_start({"CPU": 1.0})
    run.write_json(PROVENANCE, record)
    provenance.begin(run, record, RunRecords())
    return [_files(run, (PROVENANCE, SPLITS_FILE, RECIPE))]


def resume(folder: Path) -> None:
    """Read what describes a run, as ``--resume`` does until it starts Ray, and as it ends."""
    runs = folder / "runs"
    runs_table(list_runs(runs), None)
    request = _read_request(SearchOptions(resume="run", out=str(runs)))
    _examine(request)
    run = RunDirectory.open(runs / "run")
    recipe = request.recipe
    plan = Plan(
        recipe=recipe,
        budget=request.budget,
        seed=request.before.get("seed", 0),
        dataset=request.dataset,
        workers=1,
        gpus_per_trial=0.0,
        time_budget=None,
    )
    start = plan.describe_start({"CPU": 1.0}) | {"started": "later"}
    records = repair(run)
    record = provenance.begin(run, start, records)
    str(plan)
    StudySampler(recipe, plan.seed).ask(0, None)
    provenance.end(run, record, [], 1.0)
