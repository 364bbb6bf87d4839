"""The summary of a search: retrain, choose, score the test split once, write the paper."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bloodtune import command_line as flags
from bloodtune.command_line import leave
from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.errors import InputError
from bloodtune.files import check_writable
from bloodtune.run.directory import LATEST, PROVENANCE, RECIPE, RunDirectory, load_run, point_latest
from bloodtune.run.provenance import git_commit
from bloodtune.run.records import FAILED, best_record, best_records
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import BOOK, load_enqueued, load_recipe
from bloodtune.training.numerics import Numerics, supported_precisions
from bloodtune.tuning.contender import Contender
from bloodtune.tuning.host_timing import HostTimer
from bloodtune.tuning.plan import fitting_trials
from bloodtune.tuning.ray_cluster import connect, resolve_address
from bloodtune.tuning.retraining import CACHE, retrain, score_test_split
from bloodtune.tuning.retraining_cache import Candidate
from bloodtune.tuning.retraining_workers import Workers
from contenders import FOUND, PUBLISHED, is_published, trial_label
from figures.collection import all_figures
from figures.style import save_figure
from model_files import write_models
from published import load_papers
from report.material import Material
from report.page import PAGE, write_page
from report.text import REPORT, compose, write_report
from scores import measure
from selection import Choices, best_of, choose
from summary import SearchRecords, Summary
from tables.collection import all_tables, write_tables

# The first paper gives no number of epochs; 40 is enough for every one of its networks to stop getting better.
PUBLISHED_EPOCHS = 40
TOP, SEEDS, LONGER = 5, 3, 3
QUICK_TOP, QUICK_SEEDS, QUICK_EPOCHS = 2, 1, 4


@dataclass(frozen=True)
class Settings:
    """What is retrained: the ``top`` best found and the published ones, each with ``seeds`` seeds.

    The best of those found is then trained once more over ``longer`` times the epochs, unless that is 1.
    """

    top: int
    seeds: int
    longer: int
    epochs: int | None
    workers: int | None


def main(argv: Sequence[str] | None = None) -> int:
    """Write the paper of a run.

    Returns:
        0, 1 if something could not be written, 2 for input that cannot be used, 130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    quick = arguments.quick
    settings = Settings(
        top=arguments.top or (QUICK_TOP if quick else TOP),
        seeds=arguments.seeds or (QUICK_SEEDS if quick else SEEDS),
        longer=arguments.longer or (1 if quick or arguments.epochs else LONGER),
        epochs=arguments.epochs or (QUICK_EPOCHS if quick else None),
        workers=arguments.workers,
    )
    try:
        run = load_run(arguments.run)
        control = load_run(arguments.control) if arguments.control else None
        # A quick look goes beside the paper, never over it.
        folder = Path(arguments.out) / (f"{run.name}-quick" if quick else run.name)
        summarize(run, settings, folder, control)
        point_latest(folder.parent, folder.name)
    except InputError as error:
        print(f"summarize: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # such as a full disk
        print(f"summarize: {error}; what was retrained is kept, the same command goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("summarize: stopped; what was retrained is kept, the same command goes on", file=sys.stderr)
        return 130
    print(f"report: {folder / REPORT}, and as a page: {folder / PAGE}", file=sys.stderr)
    return 0


def summarize(run: RunDirectory, settings: Settings, folder: Path, control: RunDirectory | None = None) -> None:
    """Retrain, choose, freeze, score, and write everything into ``folder``.

    Raises:
        InputError: the run has no trial with a score, its data is gone or changed, ``folder`` cannot be
            made, or ``control`` is no random search on the same data.
    """
    search = SearchRecords.read(run)
    known = search.provenance.get("data")
    if not known:
        raise InputError(f"run {run.name} does not say what data it used ({PROVENANCE})")
    dataset = load_dataset(known["source"])
    if dataset.md5 != known["md5"]:
        raise InputError(f"{dataset.source} has MD5 {dataset.md5}, but the search ran on {known['md5']}; restore it")
    recipe = load_recipe(str(run.path / RECIPE))
    found, published = _found(search, recipe, settings), _published(search, settings)
    if control is not None:
        _check_control(control, known["md5"])
    check_writable(folder)
    with connect(resolve_address(None), workers=settings.workers, image_bytes=dataset.image_bytes) as resources:
        gpus = 1.0 if resources.get("GPU") else 0.0
        fitting = fitting_trials(resources, gpus)
        numerics = Numerics.from_mapping(search.provenance)
        device = "cuda" if gpus else "cpu"
        # A run from before that was recorded, or one of a GPU that is not here.
        if numerics is None or (device == "cpu" and numerics.precision not in supported_precisions(device)):
            configurations = [candidate.configuration for candidate in (*found, *published)]
            numerics = HostTimer(dataset, configurations, device=device).result().numerics
        workers = Workers(min(settings.workers or fitting, fitting), gpus, numerics)
        contenders = _retrain(found, published, dataset, run.path / CACHE, settings, workers)
        if not contenders:
            raise InputError(f"run {run.name}: every retraining diverged in its first epoch")
        choices = choose(contenders)
        folder.mkdir(parents=True, exist_ok=True)
        _freeze(folder, settings, contenders, choices)
        test = load_test_split(dataset.source, dataset.md5)
        with _bar("test split") as advance:
            tested = score_test_split(contenders, test.images, workers=workers, advance=advance)
    generator = np.random.default_rng(0)
    summary = Summary(
        search=search,
        control=SearchRecords.read(control) if control else None,
        rungs=tuple(recipe.asha.rungs),
        class_names=tuple(dataset.class_names),
        train=dataset.train,
        test=test,
        tested=tuple(tested),
        measured={one.contender.label: measure(one, test.labels, generator) for one in tested},
        choices=choices,
    )
    _write(summary, dataset, folder, generator)


def _published(search: SearchRecords, settings: Settings) -> list[Candidate]:
    # As the papers have them; the file has the best convolutional ones first for ASHA's sake.
    order = list(load_papers().results)
    papers = sorted(load_enqueued(BOOK / "papers.toml"), key=lambda entry: order.index(entry.label))
    searched = {trial.configuration: trial.best_val_macro_f1 for trial in search.trials if trial.state != FAILED}
    return [
        Candidate(
            entry.label,
            PUBLISHED,
            entry.configuration,
            settings.epochs or entry.epochs or PUBLISHED_EPOCHS,
            searched.get(entry.configuration),
        )
        for entry in papers
    ]


def _found(search: SearchRecords, recipe: Recipe, settings: Settings) -> list[Candidate]:
    trials = search.trials
    if best_record(trials) is None:
        raise InputError(f"run {search.name} has no trial with a score yet")
    new = [trial for trial in trials if not is_published(trial.configuration)]
    return [
        Candidate(
            trial_label(trial.trial),
            FOUND,
            trial.configuration,
            settings.epochs or recipe.asha.max_epochs,
            trial.best_val_macro_f1,
        )
        for trial in best_records(new, recipe.asha.rungs, settings.top)
    ]


def _retrain(
    found: Sequence[Candidate],
    published: Sequence[Candidate],
    dataset: Dataset,
    cache: Path,
    settings: Settings,
    workers: Workers,
) -> list[Contender]:
    asked = [*found, *published]

    def longer(done: Sequence[Contender]) -> list[Candidate]:
        last = _longer(done, settings.longer)
        asked.extend(last)
        return last

    with _bar("retraining") as advance:
        done = retrain(found, published, longer, dataset, cache, seeds=settings.seeds, workers=workers, advance=advance)
    diverged = {candidate.label for candidate in asked} - {contender.label for contender in done}
    if diverged:
        names = ", ".join(sorted(diverged))
        print(f"left out, as a retraining diverged in its first epoch: {names}", file=sys.stderr)
    return sorted(done, key=lambda contender: contender.origin != PUBLISHED)


def _longer(found: Sequence[Contender], factor: int) -> list[Candidate]:
    # What the search could not afford: a schedule stretched over more epochs, for the one that deserves it.
    if factor == 1 or not found:
        return []
    best = best_of(found)
    epochs = factor * best.max_epochs
    return [Candidate(f"{best.label}, {epochs} epochs", FOUND, best.configuration, epochs)]


def _freeze(folder: Path, settings: Settings, contenders: Sequence[Contender], choices: Choices) -> None:
    # On disk before the test split is read: what is reported can be checked against it.
    frozen = {
        **asdict(choices),
        "mean_val_macro_f1": {contender.label: contender.mean_val_macro_f1 for contender in contenders},
        "settings": asdict(settings),
        "git_commit": git_commit(),
    }
    (folder / "choices.json").write_text(json.dumps(frozen, indent=2) + "\n")


def _write(summary: Summary, dataset: Dataset, folder: Path, generator: np.random.Generator) -> None:
    tables = all_tables(summary, generator)
    write_tables(tables, folder / "tables")
    figures = all_figures(summary)
    for name, figure in figures.items():
        save_figure(figure, folder / "figures", name)
    write_models(folder / "models", summary, dataset)
    report = compose(Material(summary, tables, figures))
    write_report(report, folder)
    write_page(summary, report, folder)


def _check_control(control: RunDirectory, md5: str) -> None:
    if control.read_json(PROVENANCE).get("data", {}).get("md5") != md5:
        raise InputError(f"--control: run {control.name} is on other data")
    if load_recipe(str(control.path / RECIPE)).sampler != "random":
        raise InputError(f"--control: run {control.name} has no random sampler; search with --recipe random")


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            if not console.is_terminal:
                print(f"{title}: {done}/{total}", file=sys.stderr, flush=True)

        yield advance


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python analysis/summarize.py",
        description="Retrain the best configurations of a run and the nine published ones, choose on\n"
        "validation, score the test split once, and write tables, figures, models and\n"
        "report.md. Every training is kept under the run: the same command again only\n"
        "redraws.",
    )
    add = parser.add_argument
    add("run", nargs="?", default=f"runs/{LATEST}", help="a run directory, or a name in runs/ (default: the newest)")
    add(
        "--top",
        type=flags.positive,
        metavar="N",
        help=f"found configurations to retrain, at most, of those that reached the highest rung (default: {TOP})",
    )
    add("--seeds", type=flags.positive, metavar="N", help=f"trainings of each (default: {SEEDS})")
    add(
        "--epochs",
        type=flags.positive,
        metavar="N",
        help=f"at most (default: the paper's, else {PUBLISHED_EPOCHS}; found ones: the search's)",
    )
    add(
        "--longer",
        type=flags.positive,
        metavar="K",
        help=f"train the best found one once more over K times the epochs (default: {LONGER}; with --epochs: 1, "
        "so not at all)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"see it all in minutes: where not said otherwise {QUICK_TOP} found ones, {QUICK_SEEDS} seed, "
        f"{QUICK_EPOCHS} epochs, nothing longer; written to DIR/RUN-quick",
    )
    add("--control", metavar="RUN", help="a run of the random recipe, for table 7")
    add("--workers", type=flags.positive, metavar="N", help="trainings at a time (default: one a core or GPU)")
    add("--out", default="results", metavar="DIR", help="where results are written (default: results)")
    return parser


if __name__ == "__main__":
    leave(main())
