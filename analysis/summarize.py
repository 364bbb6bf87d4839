"""The command line of the summary: retrain the best, freeze every choice, open the test split once, write the paper."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from figure_style import save_figure
from gallery import all_figures
from intervals import measure
from report import Material, write_report
from results import FOUND, PUBLISHED, Choices, Contender, TestedContender, choose
from retrain import CACHE, Candidate, retrain, score_test_split
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tables import all_tables, write_tables

from bloodtune.cluster import connect, resolve_address
from bloodtune.configuration import FAMILIES
from bloodtune.data import Dataset, Split, load_dataset, load_test_split
from bloodtune.errors import InputError
from bloodtune.recipe import BOOK, Enqueued, Recipe, load_enqueued, load_recipe
from bloodtune.run import LATEST, PROVENANCE, RECIPE, TRIALS, RunDirectory, TrialRecord, point_latest

# The first paper gives no number of epochs; 40 is enough for every one of its networks to stop getting better.
PUBLISHED_EPOCHS = 40
QUICK_TOP, QUICK_SEEDS, QUICK_EPOCHS = 2, 1, 4


@dataclass(frozen=True)
class Settings:
    """What is retrained: the ``top`` best of the search and the published ones, each with ``seeds`` seeds."""

    top: int
    seeds: int
    epochs: int | None
    workers: int | None


def main(argv: Sequence[str] | None = None) -> int:
    """Write the paper of a run; returns 0, 2 for input that cannot be used, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        run = _open_run(arguments.run)
        control = _open_run(arguments.control) if arguments.control else None
        settings = Settings(
            top=min(arguments.top, QUICK_TOP) if arguments.quick else arguments.top,
            seeds=QUICK_SEEDS if arguments.quick else arguments.seeds,
            epochs=arguments.epochs or (QUICK_EPOCHS if arguments.quick else None),
            workers=arguments.workers,
        )
        folder = summarize(run, settings, Path(arguments.out), control)
    except InputError as error:
        print(f"summarize: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("summarize: stopped; what was retrained is kept, the same command goes on", file=sys.stderr)
        return 130
    print(f"{folder / 'report.md'}", file=sys.stderr)
    return 0


def summarize(run: RunDirectory, settings: Settings, out: Path, control: RunDirectory | None = None) -> Path:
    """Retrain, choose, freeze, score and write; returns the folder ``out/<run>``.

    Raises:
        InputError: the run has no finished trial, its data is gone or changed, or ``out`` cannot be written.
    """
    known = run.read_json(PROVENANCE)["data"]
    dataset = load_dataset(known["source"])
    if dataset.md5 != known["md5"]:
        raise InputError(f"{dataset.source} has MD5 {dataset.md5}, but the search ran on {known['md5']}; restore it")
    recipe = load_recipe(str(run.path / RECIPE))
    candidates = _candidates(run, recipe, settings)
    folder = _make_folder(out, run.name)
    address = resolve_address(None)
    image_bytes = dataset.train.images.nbytes + dataset.val.images.nbytes
    with connect(address, workers=settings.workers, image_bytes=image_bytes) as resources:
        gpus = 1.0 if resources.get("GPU") else 0.0
        workers = settings.workers or int(resources["GPU"] if gpus else resources["CPU"])
        with _bar("retraining") as advance:
            contenders = retrain(
                candidates,
                dataset,
                run.path / CACHE,
                seeds=settings.seeds,
                workers=workers,
                gpus=gpus,
                advance=advance,
            )
        choices = choose(contenders)
        _freeze(folder, contenders, choices)
        test = load_test_split(dataset.source, dataset.md5)
        with _bar("test split") as advance:
            tested = score_test_split(contenders, lambda: test.images, workers=workers, gpus=gpus, advance=advance)
    _write(folder, run, recipe, dataset, test, tested, choices, control)
    point_latest(out, run.name)
    return folder


def _candidates(run: RunDirectory, recipe: Recipe, settings: Settings) -> list[Candidate]:
    trials = run.trials()
    if not any(trial.best_val_macro_f1 is not None for trial in trials):
        raise InputError(f"run {run.name} has no trial with a score yet")
    searched = {trial.label: trial.best_val_macro_f1 for trial in trials if trial.label}
    published = [
        Candidate(
            entry.label,
            PUBLISHED,
            entry.configuration,
            settings.epochs or entry.epochs or PUBLISHED_EPOCHS,
            searched.get(entry.label),
        )
        for entry in sorted(load_enqueued(BOOK / "papers.toml"), key=_paper_order)
    ]
    found = [
        Candidate(
            f"search #{trial.trial}",
            FOUND,
            trial.configuration,
            settings.epochs or recipe.asha.max_epochs,
            trial.best_val_macro_f1,
        )
        for trial in best_found(trials, settings.top)
    ]
    return published + found


def _paper_order(entry: Enqueued) -> int:
    # As the papers have them; the file has the convolutional ones first for ASHA's sake.
    return FAMILIES.index(entry.configuration.family)


def best_found(trials: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """Return the ``count`` best trials of the search that are not published ones.

    Those that came furthest go first, so that a lucky value at an early rung does not beat a finished trial.
    """
    scored = [trial for trial in trials if trial.best_val_macro_f1 is not None and not trial.label]
    return sorted(scored, key=lambda trial: (-trial.epochs, -(trial.best_val_macro_f1 or 0.0)))[:count]


def _freeze(folder: Path, contenders: Sequence[Contender], choices: Choices) -> None:
    # On disk before the test split is read: what is reported can be checked against it.
    frozen = asdict(choices) | {"mean_val_macro_f1": {c.label: c.mean_val_macro_f1 for c in contenders}}
    (folder / "choices.json").write_text(json.dumps(frozen, indent=2) + "\n")


def _write(
    folder: Path,
    run: RunDirectory,
    recipe: Recipe,
    dataset: Dataset,
    test: Split,
    tested: Sequence[TestedContender],
    choices: Choices,
    control: RunDirectory | None,
) -> None:
    generator = np.random.default_rng(0)
    measured = {one.contender.label: measure(one, test.labels, generator) for one in tested}
    names = dataset.class_names
    tables = all_tables(run, tested, measured, test.labels, names, choices, generator, control)
    write_tables(tables, folder / "tables")
    figures = all_figures(run, recipe.asha.rungs, tested, measured, dataset.train, test, names, choices, control)
    for name, figure in figures.items():
        save_figure(figure, folder / "figures", name)
    _copy_models(folder / "models", {one.contender.label: one.contender for one in tested}, choices)
    captions = {name: figure.caption for name, figure in figures.items()}
    write_report(Material(run, tested, measured, names, choices, tables, captions), folder)


def _copy_models(folder: Path, contenders: dict[str, Contender], choices: Choices) -> None:
    for place, label in {**choices.by_family, "best": choices.best}.items():
        contender = contenders[label]
        source = contender.retrainings[contender.median].model
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(source / name, folder / place / name)


def _open_run(asked: str) -> RunDirectory:
    path = Path(asked)
    if not (path / TRIALS).is_file() and (Path("runs") / asked / TRIALS).is_file():
        path = Path("runs") / asked
    return RunDirectory.open(path)


def _make_folder(out: Path, name: str) -> Path:
    try:
        (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from None
    return out / name


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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python analysis/summarize.py",
        description="Retrain the best configurations of a run and the nine published ones, choose on validation, "
        "score the test split once, and write tables, figures, models and report.md. Every training is kept under "
        "the run: the same command again only redraws.",
    )
    add = parser.add_argument
    add("run", nargs="?", default=f"runs/{LATEST}", help="a run directory, or a name in runs/ (default: the newest)")
    add("--top", type=_positive, default=5, metavar="N", help="found configurations to retrain (default: 5)")
    add("--seeds", type=_positive, default=3, metavar="N", help="trainings of each (default: 3)")
    add(
        "--epochs",
        type=_positive,
        metavar="N",
        help="at most (default: the paper's, else 40; found ones: the search's)",
    )
    add("--quick", action="store_true", help="one seed, two found ones, few epochs: to see it all in minutes")
    add("--control", metavar="RUN", help="a run of the random recipe, for table 7")
    add("--workers", type=_positive, metavar="N", help="trainings at a time (default: one a core or GPU)")
    add("--out", default="results", metavar="DIR", help="where results are written (default: results)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
