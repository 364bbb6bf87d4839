"""Candidates for retraining: the best configurations of a search and the published configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bloodtune.errors import InputError
from bloodtune.run.records import FAILED, best_record, rank_records, rungs_reached
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import BOOK, load_enqueued
from bloodtune.tuning.retrained_models import Contender
from bloodtune.tuning.retraining_cache import Candidate
from contender_labels import FOUND, PUBLISHED, is_published, trial_label
from display_names import is_blood
from model_choice import BEST, best_of
from published import load_papers
from summary_data import SearchRecords

# The first paper gives no number of epochs. None of its networks improves after 40.
PUBLISHED_EPOCHS = 40


@dataclass(frozen=True)
class Settings:
    """Settings of the retraining: the ``top`` best found and the published configurations, each with ``seeds`` seeds.

    The best found configuration is retrained once more with ``longer`` times the epochs, unless ``longer`` is 1. The
    ``ensemble`` networks of the best found configuration are averaged, unless it is None; with ``distill`` one network
    learns their probabilities. The ``published`` configurations are retrained if this is True, or if it is None and the
    classes are BloodMNIST's. ``gpus_per_training`` is the share of a GPU per training; None for that of the search.
    ``prefer`` is ``best`` or ``small``: the rule by which the model is chosen.
    """

    top: int
    seeds: int
    longer: int
    epochs: int | None
    workers: int | None
    published: bool | None = None
    gpus_per_training: float | None = None
    prefer: str = BEST
    ensemble: int | None = None
    distill: bool = False


def retrained_published(search: SearchRecords, settings: Settings, class_names: Sequence[str]) -> list[Candidate]:
    """Return the published configurations if they are to be retrained, in the papers' order."""
    if not (is_blood(class_names) if settings.published is None else settings.published):
        return []
    # papers.toml has another order.
    order = list(load_papers().results)
    papers = sorted(load_enqueued(BOOK / "papers.toml"), key=lambda entry: order.index(entry.label))
    searched = {trial.configuration: trial.best_val_macro_f1 for trial in search.trials if trial.state != FAILED}
    candidates = []
    for entry in papers:
        epochs, score = settings.epochs or entry.epochs or PUBLISHED_EPOCHS, searched.get(entry.configuration)
        candidates.append(Candidate(entry.label, PUBLISHED, entry.configuration, epochs, score))
    return candidates


def retrained_found(
    search: SearchRecords, recipe: Recipe, settings: Settings, published: Sequence[Candidate]
) -> list[Candidate]:
    """Return the best configurations of the search, without those that are retrained as ``published``.

    Trials that reached a higher rung come first, but each family has its best one among them, if that left the first
    rung: early scores do not compare families fairly (docs/experiments.md).

    Raises:
        InputError: no trial has a score.
    """
    if best_record(search.trials) is None:
        raise InputError(f"run {search.name} has no trial with a score yet")
    new = [trial for trial in search.trials if not (published and is_published(trial.configuration))]
    rungs = recipe.asha.rungs
    ranked = rank_records(new, rungs)
    first = {trial.configuration.family: trial.trial for trial in reversed(ranked) if rungs_reached(trial, rungs) > 1}
    numbers = [trial.trial for trial in ranked if trial.trial in first.values()] + [trial.trial for trial in ranked]
    kept = list(dict.fromkeys(numbers))[: settings.top]
    best = [trial for trial in ranked if trial.trial in kept]
    epochs = settings.epochs or recipe.asha.max_epochs
    return [Candidate(trial_label(t.trial), FOUND, t.configuration, epochs, t.best_val_macro_f1) for t in best]


def retrained_longer(found: Sequence[Contender], factor: int) -> list[Candidate]:
    """Return the best found configuration with ``factor`` times the epochs, unless ``factor`` is 1."""
    # A search cannot afford this longer schedule for every trial.
    if factor == 1 or not found:
        return []
    best = best_of(found)
    epochs = factor * best.max_epochs
    return [Candidate(f"{best.label}, {epochs} epochs", FOUND, best.configuration, epochs)]
