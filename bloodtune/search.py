"""The command line of the search: start Ray, run the study, write the run directory."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloodtune import provenance
from bloodtune.cluster import LOCAL, connect, resolve_address
from bloodtune.data import SYNTHETIC, Dataset, load_dataset
from bloodtune.errors import InputError
from bloodtune.recipe import Recipe, load_recipe
from bloodtune.run import PROVENANCE, RECIPE, RunDirectory, best_record

if TYPE_CHECKING:
    from bloodtune.interrupt import Interrupt
    from bloodtune.progress import Progress
    from bloodtune.searcher import StudySearcher

DEFAULT_BUDGET = 64
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


@dataclass(frozen=True)
class Plan:
    """All that a search needs to know before it starts."""

    recipe: Recipe
    budget: int
    seed: int
    dataset: Dataset
    workers: int
    gpus_per_trial: float
    time_budget: float | None

    @property
    def resources_per_trial(self) -> dict[str, float]:
        """What Ray reserves for one trial."""
        return {"cpu": 1, "gpu": self.gpus_per_trial} if self.gpus_per_trial else {"cpu": 1}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a search from the command line.

    Returns:
        0 at the end of the budget or of the time budget, 2 for input that cannot be used, 130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    try:
        return _search(arguments)
    except InputError as error:
        _print(f"bloodtune: {error}")
        return 2
    except KeyboardInterrupt:
        _print("bloodtune: stopped at once; finished trials are kept, `--resume NAME` goes on")
        return INTERRUPTED


def _search(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    resumed = RunDirectory.open(out / arguments.resume) if arguments.resume else None
    before = resumed.read_json(PROVENANCE) if resumed else {}
    recipe = load_recipe(str(resumed.path / RECIPE) if resumed else arguments.recipe, max_epochs=arguments.max_epochs)
    budget = _budget(arguments.budget, before, recipe)
    address = resolve_address(arguments.address)
    _check_writable(out)
    dataset = _load_data(arguments.data, before, resumed, address)
    image_bytes = dataset.train.images.nbytes + dataset.val.images.nbytes
    with connect(address, workers=arguments.workers, image_bytes=image_bytes) as resources:
        plan = _plan(arguments, before, recipe, budget, dataset, resources, is_local=address == LOCAL)
        if arguments.dry_run:
            print(_describe_plan(plan))
            return 0
        run = resumed or RunDirectory.create(out, _name(arguments.name, out, dataset), recipe.text)
        return run_plan(plan, run, resources)


def run_plan(plan: Plan, run: RunDirectory, resources: dict[str, float]) -> int:
    """Run a planned search into its run directory, on the Ray that is connected; returns the exit code."""
    from bloodtune.interrupt import Interrupt
    from bloodtune.progress import Progress, clock
    from bloodtune.searcher import StudySearcher

    run.drop_interrupted()
    searcher = StudySearcher(plan.recipe, run, budget=plan.budget, seed=plan.seed)
    record = _begin_provenance(plan, run, resources)
    banner = "SYNTHETIC DATA: scores say nothing about real blood cells" if plan.dataset.synthetic else ""
    _print(banner, f"run {run.path}: {plan.dataset.title}, budget {plan.budget}, {plan.workers} workers")
    interrupt, started = Interrupt(plan.time_budget), time.monotonic()
    progress = Progress(
        searcher,
        interrupt,
        title=f"{run.name} · {plan.workers} workers",
        train_images=len(plan.dataset.train.labels),
    )
    with interrupt.listening(), progress:
        _tune(plan, searcher, progress, interrupt)
    _end_provenance(run, record, time.monotonic() - started)
    best = best_record(searcher.finished)
    _print(
        f"{interrupt.reason}; interrupted trials run again on resume" if interrupt.reason else "",
        f"{len(searcher.finished)}/{plan.budget} trials in {clock(time.monotonic() - started)}",
        f"best validation macro-F1 {best.best_val_macro_f1:.4f}, trial {best.trial}" if best else "",
        banner,
        f"run directory: {run.path}",
        f"next: {_next_command(run, plan, len(searcher.finished))}",
    )
    return INTERRUPTED if interrupt.by_signal else 0


def _tune(plan: Plan, searcher: StudySearcher, progress: Progress, interrupt: Interrupt) -> None:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    from bloodtune.searcher import OBJECTIVE
    from bloodtune.trainable import WarmWorker

    asha = plan.recipe.asha
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=OBJECTIVE,
        mode="max",
        max_t=asha.max_epochs,
        grace_period=asha.first_rung,
        reduction_factor=asha.reduction_factor,
    )
    # A new scheduler starts with empty rungs; what finished trials had there is in the records.
    for milestone, recorded in scheduler._brackets[0]._rungs:
        recorded.update(searcher.rung_values().get(milestone, {}))
    worker = tune.with_parameters(
        WarmWorker,
        train=plan.dataset.train,
        val=plan.dataset.val,
        asha=asha,
        device="cuda" if plan.gpus_per_trial else "cpu",
    )
    with tempfile.TemporaryDirectory(prefix="bloodtune-tune-") as scratch:
        # Not tune.Tuner: it pickles searcher and callbacks for a restore that the run directory replaces.
        tune.run(
            tune.with_resources(worker, plan.resources_per_trial),
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=plan.workers,
            reuse_actors=True,
            stop=interrupt,
            callbacks=[progress],
            name="search",
            storage_path=scratch,
            raise_on_failed_trial=False,
            verbose=0,
        )


def _plan(
    arguments: argparse.Namespace,
    before: dict[str, Any],
    recipe: Recipe,
    budget: int,
    dataset: Dataset,
    resources: dict[str, float],
    *,
    is_local: bool,
) -> Plan:
    gpus, cpus = resources.get("GPU", 0.0), int(resources.get("CPU", 1))
    share = arguments.gpus_per_trial
    if share is None:
        share = 1.0 if gpus else 0.0
    if share > gpus and is_local:
        raise InputError(f"--gpus-per-trial {share:g}: this machine has {gpus:g} GPUs; leave it out, or use 0")
    fitting = int(gpus / share) if share and gpus else cpus
    return Plan(
        recipe=recipe,
        budget=budget,
        seed=before.get("seed", 0) if arguments.seed is None else arguments.seed,
        dataset=dataset,
        workers=arguments.workers or max(1, fitting),
        gpus_per_trial=share,
        time_budget=arguments.time_budget,
    )


def _budget(asked: int | None, before: dict[str, Any], recipe: Recipe) -> int:
    if asked is not None and asked < 1:
        raise InputError(f"--budget {asked}: allowed are whole numbers from 1")
    budget = asked or int(before.get("budget", DEFAULT_BUDGET))
    if recipe.sampler == "enqueued" and budget > len(recipe.enqueued):
        if asked:
            _print(f"this recipe has {len(recipe.enqueued)} configurations and samples no more: budget lowered")
        return len(recipe.enqueued)
    return budget


def _load_data(asked: str | None, before: dict[str, Any], resumed: RunDirectory | None, address: str) -> Dataset:
    known = before.get("data", {})
    dataset = load_dataset(asked or known.get("source"), cluster=address != LOCAL)
    if resumed and known and dataset.md5 != known["md5"]:
        raise InputError(
            f"run {resumed.name} belongs to other data: {known['source']} (MD5 {known['md5']}), "
            f"not {dataset.source} (MD5 {dataset.md5})"
        )
    return dataset


def _check_writable(out: Path) -> None:
    folder = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"--out {out}: {folder} is not a folder that can be written")


def _name(asked: str | None, out: Path, dataset: Dataset) -> str:
    if asked:
        return asked if not dataset.synthetic or SYNTHETIC in asked else f"{asked}-{SYNTHETIC}"
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{dataset.title}"
    return stem if not (out / stem).exists() else f"{stem}-{os.getpid()}"


def _begin_provenance(plan: Plan, run: RunDirectory, resources: dict[str, float]) -> dict[str, Any]:
    before = run.read_json(PROVENANCE)
    record = {
        **provenance.describe_software(),
        "seed": plan.seed,
        "budget": plan.budget,
        "recipe": plan.recipe.description,
        "max_epochs": plan.recipe.asha.max_epochs,
        "workers": plan.workers,
        "gpus_per_trial": plan.gpus_per_trial,
        "devices": provenance.describe_machine(resources),
        "data": provenance.describe_data(plan.dataset),
        "started": before.get("started", provenance.now()),
        "ended": None,
        "wall_seconds": before.get("wall_seconds", 0.0),
        "epochs_spent": before.get("epochs_spent", 0),
        "device_seconds": before.get("device_seconds", 0.0),
    }
    if before:
        record["resumed"] = [*before.get("resumed", []), provenance.now()]
    run.write_json(PROVENANCE, record)
    return record


def _end_provenance(run: RunDirectory, record: dict[str, Any], seconds: float) -> None:
    curves = run.curves()
    run.write_json(
        PROVENANCE,
        record
        | {
            "ended": provenance.now(),
            "wall_seconds": round(record["wall_seconds"] + seconds, 1),
            "epochs_spent": len(curves),
            "device_seconds": round(float(curves.seconds.sum()), 1),
        },
    )


def _next_command(run: RunDirectory, plan: Plan, finished: int) -> str:
    if finished < plan.budget:
        out = "" if run.path.parent == Path("runs") else f" --out {run.path.parent}"
        return f"python -m bloodtune.search --resume {run.name}{out}"
    return f"python analysis/summarize.py {run.path}"


def _describe_plan(plan: Plan) -> str:
    asha, recipe = plan.recipe.asha, plan.recipe
    lines = [
        f"recipe    {recipe.description}",
        f"data      {plan.dataset.title}: " + ", ".join(f"{n} {s}" for s, n in plan.dataset.split_sizes.items()),
        f"budget    {plan.budget} configurations, {min(len(recipe.enqueued), plan.budget)} of them published",
        f"sampler   {recipe.sampler}, seed {plan.seed}",
        f"ASHA      at most {asha.max_epochs} epochs, rungs at {', '.join(map(str, asha.rungs)) or 'none'}",
        f"expected  about {recipe.expected_epochs(plan.budget)} epochs, somewhat more as ASHA does not wait",
        f"workers   {plan.workers}, each with {plan.resources_per_trial}",
        "space",
    ]
    for parameter in recipe.parameters:
        span = (
            ", ".join(map(str, parameter.choices))
            if parameter.choices is not None
            else f"{parameter.low} to {parameter.high}{', log' if parameter.log else ''}"
        )
        when = " and ".join(f"{k} = {'|'.join(map(str, v))}" for k, v in parameter.when.items())
        lines.append(f"  {parameter.name:<22} {span}{f'   if {when}' if when else ''}")
    return "\n".join(lines)


def _print(*lines: str) -> None:
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a duration such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not (0 <= share <= 1 or (share > 1 and share == int(share))):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 0 to 1, or whole numbers above")
    return share


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bloodtune.search",
        description="Search for the best blood-cell classifier that a budget can buy: Optuna proposes "
        "configurations, Ray Tune schedules them on the CPU cores or GPUs at hand, ASHA stops the weak ones early. "
        "Everything found is in a run directory, row by row, from the first epoch on.",
        epilog="examples:\n"
        "  python -m bloodtune.search --budget 64                        the default search\n"
        "  python -m bloodtune.search --recipe mlnn --time-budget 30m    one family, half an hour\n"
        "  python -m bloodtune.search --data my.npz --dry-run            what would be done\n"
        "  python -m bloodtune.search --resume latest                    go on where it stopped\n\n"
        "exit codes: 0 finished or time budget used up, 2 input that cannot be used, 130 stopped by Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to search")
    what.add_argument(
        "--recipe",
        default="search/default.toml",
        help="a TOML file, or a name in search/: default, published, mlnn, cnn, random, smoke (default: %(default)s)",
    )
    what.add_argument("--budget", type=int, metavar="N", help=f"configurations to try (default: {DEFAULT_BUDGET})")
    what.add_argument(
        "--data",
        help="an .npz file in MedMNIST's layout, a MedMNIST name such as bloodmnist_64, or "
        "synthetic (default: $BLOODTUNE_DATA, else the official BloodMNIST file)",
    )
    what.add_argument("--max-epochs", type=_positive, metavar="N", help="in place of the recipe's")
    what.add_argument("--time-budget", type=_seconds, metavar="TIME", help="stop after 90s, 30m or 2h; resumable")
    what.add_argument("--seed", type=int, help="of all draws (default: 0)")
    where = parser.add_argument_group("where to run")
    where.add_argument("--workers", type=_positive, metavar="N", help="trials at a time (default: what fits)")
    where.add_argument(
        "--gpus-per-trial",
        type=_share,
        metavar="X",
        help="share of a GPU that a trial gets, such as 0.25 (default: 1 where there are GPUs, else 0)",
    )
    where.add_argument(
        "--address",
        help="of an existing Ray cluster, or auto; on the head of a `ray up` cluster that "
        "one is joined, elsewhere a Ray of its own is started",
    )
    files = parser.add_argument_group("the run directory")
    files.add_argument("--name", help="of the run (default: date, time and data)")
    files.add_argument("--out", default="runs", metavar="DIR", help="where runs are kept (default: %(default)s)")
    files.add_argument("--resume", metavar="NAME", help="go on with a run of that folder; a larger --budget extends it")
    files.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main())
