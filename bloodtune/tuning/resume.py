"""Resume and warm start: a search that goes on from a run, and the command to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bloodtune.errors import InputError
from bloodtune.files import check_writable
from bloodtune.run.directory import PROVENANCE, RECIPE, RunDirectory
from bloodtune.run.provenance import read_provenance
from bloodtune.run.records import best_records
from bloodtune.space.parameter import parameter_values
from bloodtune.space.recipe import Enqueued, Recipe, enqueue_first
from bloodtune.space.recipe_file import BOOK, load_recipe
from bloodtune.training.numerics import AUTO
from bloodtune.tuning.options import WARM_START, SearchOptions
from bloodtune.tuning.plan import Plan
from bloodtune.tuning.search_data import DATA_OPTIONS

if TYPE_CHECKING:
    from bloodtune.run.mirror import Storage


def open_resumed(options: SearchOptions, out: Path, storage: Storage | None) -> RunDirectory:
    """Open the run that ``--resume`` names, from the storage where it is not here.

    Raises:
        InputError: there is no such run, or a flag contradicts it.
    """
    if not options.resume:
        raise InputError("--resume: the name of a run is empty")
    if storage and not (out / options.resume).exists():
        check_writable(out)
        storage.fetch(options.resume, out)
    run = RunDirectory.open(out / options.resume)
    before = read_provenance(run, needed=("seed", "data.source", "data.md5"))
    if not before:
        raise InputError(f"run {run.name} has no {PROVENANCE}, so its data and options are unknown: start a new search")
    for flag in ("recipe", "name", "max_epochs", "warm_start", *DATA_OPTIONS):
        if getattr(options, flag) not in (None, False, ()):
            raise InputError(f"--{flag.replace('_', '-')} cannot be given with --resume: the run keeps its own")
    if options.seed not in (None, before["seed"]):
        raise InputError(f"--seed {options.seed}: run {run.name} has seed {before['seed']} and keeps it")
    known = before.get("precision", options.precision)
    if options.precision not in (None, AUTO, known):
        raise InputError(f"--precision {options.precision}: run {run.name} trains in {known} and keeps it")
    return run


def warm_start(recipe: Recipe, out: Path, name: str) -> Recipe:
    """Return the recipe with the best configurations of the run ``name`` enqueued first.

    Raises:
        InputError: there is no such run, or nothing of it can be tried.
    """
    if not name:
        raise InputError("--warm-start: the name of a run is empty")
    run = RunDirectory.open(out / name)
    known = {entry.configuration for entry in recipe.enqueued}
    candidates, reason = {}, "it has no scored trial that this recipe does not enqueue itself"
    for record in run.standing():
        if record.configuration in known:
            continue  # this recipe enqueues it
        try:
            parameter_values(record.configuration, recipe.parameters)
            candidates[record.configuration] = record
        except InputError as error:
            reason = f"trial {record.trial}: {error}"
    rungs = load_recipe(str(run.path / RECIPE)).asha.rungs
    best = best_records(candidates.values(), rungs, WARM_START)
    if not best:
        raise InputError(f"--warm-start {name}: no configuration of this run can be tried here: {reason}")
    source = f"warm start from {run.name}"
    return enqueue_first(recipe, [Enqueued(f"{run.name} trial {r.trial}", source, r.configuration) for r in best])


def next_command(run: RunDirectory, plan: Plan, finished: int) -> str:
    """Return the command to type next: the summary of a finished search, else the one that resumes it."""
    if finished == plan.budget:
        return _typed("summarize", [os.path.relpath(BOOK.parent / "analysis" / "summarize.py")], str(run.path))
    out = [] if run.path.parent == Path("runs") else ["--out", str(run.path.parent)]
    return _typed("search", ["-m", "bloodtune.search"], "--resume", run.name, *out, *plan.place)


def predict_command(run: RunDirectory) -> str:
    """Return the command that counts cells with the model of a run."""
    return _typed("predict", ["-m", "bloodtune.predict"], "FOLDER", "--model", str(run.path))


def _typed(command: str, python_words: Sequence[str], *arguments: str) -> str:
    # As typed in the folder where the search started; without an activated environment it needs its program's path.
    is_console = Path(sys.argv[0]).stem == "bloodtune"
    name, path = ("bloodtune", sys.argv[0]) if is_console else ("python", sys.executable)
    found = shutil.which(name)
    program = name if found and Path(found).absolute() == Path(path).absolute() else os.path.relpath(path)
    return shlex.join([program, *([command] if is_console else python_words), *arguments])
