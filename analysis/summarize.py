"""The command `summarize`: retrain, choose, score the test split once, write the report."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bloodtune import command_line as flags
from bloodtune.command_line import print_lines
from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.medmnist import published_name
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError
from bloodtune.files import LATEST, check_writable, point_latest
from bloodtune.run.directory import PROVENANCE, RECIPE, RUNS, RunDirectory, load_run
from bloodtune.run.provenance import git_commit, read_provenance
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.models.user_networks import sources_to_send
from bloodtune.tuning.prediction_speed import prediction_speeds
from bloodtune.tuning.ray_cluster import connect, resolve_address
from bloodtune.tuning.retrained_models import Contender, Speed
from bloodtune.tuning.retraining import CACHE, retrain, score_test_split
from bloodtune.tuning.retraining_cache import Candidate
from bloodtune.tuning.retraining_place import place_retrainings
from bloodtune.tuning.retraining_workers import Workers
from candidates import PUBLISHED_EPOCHS, Settings, retrained_found, retrained_longer, retrained_published
from contender_labels import PUBLISHED
from ensembles import combine
from figures.all_figures import all_figures
from figures.style import save_figure
from mistake_heat_maps import explain_mistakes
from model_choice import BEST, SMALL, Choices, choose
from model_files import write_models
from progress_bar import progress_bar
from report.material import Material
from report.outline import REPORT, compose, write_report
from report.page import MOST_ERRORS, PAGE, write_page
from scores import measure
from summary_data import SearchRecords, Summary
from tables.all_tables import all_tables, write_tables

TOP, SEEDS, LONGER = 5, 3, 3
QUICK_TOP, QUICK_SEEDS, QUICK_EPOCHS = 2, 1, 4
_CONTINUE = "finished retrainings are kept: run the same command again to continue"


def main(argv: Sequence[str] | None = None) -> int:
    """Summarize a run; return 0, 1 if a file cannot be written, 2 for unusable input, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    quick = arguments.quick
    settings = Settings(
        top=arguments.top or (1 if arguments.only_best else QUICK_TOP if quick else TOP),
        seeds=arguments.seeds or (QUICK_SEEDS if quick else SEEDS),
        longer=arguments.longer or (1 if quick or arguments.epochs else LONGER),
        epochs=arguments.epochs or (QUICK_EPOCHS if quick else None),
        workers=arguments.workers,
        gpus_per_training=arguments.gpus_per_training,
        published=True if arguments.published else False if arguments.only_best else None,
        prefer=arguments.prefer,
        ensemble=arguments.ensemble,
        distill=arguments.distill,
    )
    return flags.run_action("summarize", lambda: _summarize(arguments, settings), _CONTINUE)


def _summarize(arguments: argparse.Namespace, settings: Settings) -> int:
    run = load_run(arguments.run)
    control = load_run(arguments.control) if arguments.control else None
    # A quick summary never overwrites a full one.
    folder = Path(arguments.out) / (f"{run.name}-quick" if arguments.quick else run.name)
    summarize(run, settings, folder, control, arguments.data)
    print_lines(point_latest(folder.parent, folder.name))
    print_lines(f"report: {folder / PAGE}, the same as Markdown: {folder / REPORT}")
    return 0


def summarize(
    run: RunDirectory, settings: Settings, folder: Path, control: RunDirectory | None = None, data: str | None = None
) -> None:
    """Retrain, choose, score the test split and write all into ``folder``; ``data`` is where the data is now.

    Raises:
        InputError: no trial has a score, the data is missing or changed, or ``folder`` or ``control`` cannot be used.
    """
    search = SearchRecords.read(run)
    dataset, recipe = _load_data(search, run, data), load_recipe(str(run.path / RECIPE))
    published = retrained_published(search, settings, dataset.class_names)
    found = retrained_found(search, recipe, settings, published)
    _check_control(control, dataset)
    _check_ensemble(settings, dataset)
    check_writable(folder)
    address, sources = resolve_address(None), sources_to_send(one.configuration.family for one in found)
    with connect(address, workers=settings.workers, image_bytes=dataset.bytes_to_copy, sources=sources) as resources:
        workers = _workers(search, dataset, [*found, *published], settings, resources)
        contenders = _retrain(found, published, dataset, run.path / CACHE, settings, workers)
        choices = choose(contenders, dataset.scored_counts if settings.prefer == SMALL else None)
        _write_choices(folder, settings, contenders, choices)
        test = load_test_split(dataset.source, dataset.md5, dataset.preparation)
        with progress_bar("test split") as advance:
            tested = score_test_split(contenders, test, workers=workers, advance=advance)
    generator = np.random.default_rng(0)
    summary = Summary(
        search=search,
        control=SearchRecords.read(control) if control else None,
        rungs=tuple(recipe.asha.rungs),
        class_names=dataset.class_names,
        train=dataset.train,
        test=test,
        tested=tuple(tested),
        measured={one.contender.label: measure(one, test.labels, generator) for one in tested},
        speeds=_speeds(contenders, dataset.val.images),
        choices=choices,
        test_files=tuple(row.file for row in dataset.rows if row.split == "test"),
    )
    _write(summary, dataset, folder, generator)


def _load_data(search: SearchRecords, run: RunDirectory, asked: str | None) -> Dataset:
    known = search.provenance.get("data")
    if not known:
        raise InputError(f"run {search.name}: {PROVENANCE} does not name the data of the search")
    source = known["source"] if asked is None else asked
    if asked is None and not (known["synthetic"] or os.path.exists(source)):
        official = published_name(known["md5"])  # the run may come from another machine
        if official is None:
            raise InputError(
                f"{source}, the data of the search, is not here; --data FILE names it (MD5 {known['md5']})"
            )
        source = official
    dataset = load_dataset(source, Preparation.recorded(known, run.path))
    if dataset.md5 != known["md5"]:
        searched = f"the search used data with MD5 {known['md5']}"
        raise InputError(f"{dataset.source} has MD5 {dataset.md5}, but {searched}; restore that data")
    dataset.check_folds(known)
    return dataset


def _workers(
    search: SearchRecords,
    dataset: Dataset,
    candidates: Sequence[Candidate],
    settings: Settings,
    resources: dict[str, float],
) -> Workers:
    configurations = [candidate.configuration for candidate in candidates]
    asked, gpus = settings.workers, settings.gpus_per_training
    return place_retrainings(search.provenance, dataset, configurations, asked=asked, gpus=gpus, resources=resources)


def _retrain(
    found: list[Candidate],
    published: list[Candidate],
    dataset: Dataset,
    cache: Path,
    settings: Settings,
    workers: Workers,
) -> list[Contender]:
    labels = {candidate.label for candidate in [*found, *published]}

    def longer(done: Sequence[Contender]) -> list[Candidate]:
        last = retrained_longer(done, settings.longer)
        labels.update(candidate.label for candidate in last)
        return last

    with progress_bar("retraining") as advance:
        done = retrain(found, published, longer, dataset, cache, seeds=settings.seeds, workers=workers, advance=advance)
    if not done:
        raise InputError("every retraining diverged in its first epoch")
    _print_left_out(labels, done)
    done.sort(key=lambda contender: contender.origin != PUBLISHED)
    return done + _combine(done, dataset, cache, settings, workers)


def _print_left_out(labels: set[str], done: Sequence[Contender]) -> None:
    if diverged := labels - {contender.label for contender in done}:
        names = ", ".join(sorted(diverged))
        print_lines(f"left out, because a retraining diverged in its first epoch: {names}")


def _combine(
    contenders: Sequence[Contender], dataset: Dataset, cache: Path, settings: Settings, workers: Workers
) -> list[Contender]:
    def train(candidates: Sequence[Candidate], seeds: int) -> list[Contender]:
        with progress_bar("ensemble") as advance:
            done = retrain(candidates, [], lambda _: [], dataset, cache, seeds=seeds, workers=workers, advance=advance)
        _print_left_out({candidate.label for candidate in candidates}, done)
        return done

    return combine(contenders, settings, dataset, cache, train)


def _speeds(contenders: Sequence[Contender], images: np.ndarray) -> dict[str, Speed]:
    models = [contender.retrainings[contender.median].model for contender in contenders]
    speeds = prediction_speeds(models, images)
    return {contender.label: speed for contender, speed in zip(contenders, speeds, strict=True)}


def _write_choices(folder: Path, settings: Settings, contenders: Sequence[Contender], choices: Choices) -> None:
    # Written before the test split is read, as proof that the choice did not depend on it.
    record = {
        **asdict(choices),
        "mean_val_macro_f1": {contender.label: contender.mean_val_macro_f1 for contender in contenders},
        "settings": asdict(settings),
        "git_commit": git_commit(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "choices.json").write_text(json.dumps(record, indent=2) + "\n")


def _write(summary: Summary, dataset: Dataset, folder: Path, generator: np.random.Generator) -> None:
    tables = all_tables(summary, generator)
    write_tables(tables, folder / "tables")
    figures = all_figures(summary)
    for name, figure in figures.items():
        save_figure(figure, folder / "figures", name)
    write_models(folder / "models", summary, dataset)
    report = compose(Material(summary, tables, figures))
    write_report(report, folder)
    write_page(summary, report, folder, explain_mistakes(summary, MOST_ERRORS))


def _check_control(control: RunDirectory | None, dataset: Dataset) -> None:
    if control is None:
        return
    known = read_provenance(control).get("data", {})
    if known.get("md5") != dataset.md5:
        raise InputError(f"--control: run {control.name} used other data; give a run on the data of the search")
    if known.get("folds") != dataset.fold_digest:
        raise InputError(f"--control: run {control.name} used other folds; give the search's --folds and --seed")
    sampler = load_recipe(str(control.path / RECIPE)).sampler
    if sampler != "random":
        raise InputError(f"--control: run {control.name} used sampler {sampler}; search with --recipe random")


def _check_ensemble(settings: Settings, dataset: Dataset) -> None:
    if settings.distill and settings.ensemble is None:
        raise InputError("--distill needs --ensemble K, the teacher")
    if settings.ensemble == 1:
        raise InputError("--ensemble 1: allowed are whole numbers from 2")
    if settings.ensemble and dataset.folds is not None:
        raise InputError("--ensemble cannot be used with --folds: its networks have seen the images of every fold")


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python analysis/summarize.py",
        description="Retrain the best configurations of a run and, on BloodMNIST, the nine published ones, choose\n"
        "the best model on validation, score the test split once, and write tables, figures, models and a\n"
        "report. Finished retrainings are kept: the same command again only rewrites the results.",
    )
    add, positive = parser.add_argument, flags.positive
    run = "run directory, or a name in runs/ (default: the newest run)"
    add("run", nargs="?", default=f"{RUNS}/{LATEST}", help=run)
    top = f"retrain at most N found configurations: the best of the highest rungs and of each family (default: {TOP})"
    add("--top", type=positive, metavar="N", help=top)
    add("--seeds", type=positive, metavar="N", help=f"trainings per configuration (default: {SEEDS})")
    epochs = f"epochs of a training at most (default: as published, else {PUBLISHED_EPOCHS}; found ones: as searched)"
    add("--epochs", type=positive, metavar="N", help=epochs)
    longer = f"retrain the best once more for K times the epochs; 1: not at all (default: {LONGER}; with --epochs: 1)"
    add("--longer", type=positive, metavar="K", help=longer)
    quick = (
        f"write a rough report in minutes, to DIR/RUN-quick: the defaults become --top {QUICK_TOP} "
        f"--seeds {QUICK_SEEDS} --epochs {QUICK_EPOCHS} --longer 1"
    )
    add("--quick", action="store_true", help=quick)
    prefer = "the model to choose: the best on validation, or the smallest within a standard error (default: best)"
    add("--prefer", choices=(BEST, SMALL), default=BEST, help=prefer)
    add("--ensemble", type=positive, metavar="K", help="judge K averaged networks of the best configuration too")
    add("--distill", action="store_true", help="train a small network on the ensemble's answers, and judge it too")
    which = parser.add_mutually_exclusive_group()
    only_best = "retrain the best found configuration alone: the default becomes --top 1, without published networks"
    which.add_argument("--only-best", action="store_true", help=only_best)
    published = "retrain the nine published networks too (default: only if the classes are those of BloodMNIST)"
    which.add_argument("--published", action="store_true", help=published)
    add("--data", metavar="FILE", help="the search's data on this machine, with the same MD5 (default: where it was)")
    add("--control", metavar="RUN", help="run of the recipe random, to compare with the search in table 7")
    add("--workers", type=positive, metavar="N", help="simultaneous trainings (default: as many as fit)")
    gpus = "share of a GPU per training, such as 0.25; 0 trains on CPUs (default: that of the search's trials)"
    add("--gpus-per-training", type=flags.share, metavar="X", help=gpus)
    add("--out", default="results", metavar="DIR", help="folder for the results (default: results)")
    return parser


if __name__ == "__main__":
    flags.leave(main())
