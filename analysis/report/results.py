"""Sections of the report on results: chosen model, search, comparison, errors, cost and gain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contender_labels import DISTILLED, ENSEMBLE, FOUND
from display_names import FAMILY_NAMES
from figures.importance import FEWEST_TRIALS
from report.blocks import Block, Inline, Strong, TableBlock, paragraph
from report.material import Material, figures_of, points, seeds_text, tables_of, value_text
from tables.files import Panel
from tables.number_format import percent
from tables.search import search_costs, search_gains

_PROTOCOL = (
    "Each configuration was retrained with fresh seeds. The weights of the best validation epoch were kept. Trainings "
    "with a constant learning rate ended early when they stopped improving. A model trained with the dihedral group "
    "predicts with the mean over its eight views of an image. A model also trained with shifts adds the views of the "
    "image moved by one pixel. Both hold for validation and test split. Configurations were ranked by mean validation "
    "macro-F1 over the seeds. Only after every choice was frozen was the test split opened, once, for all rows of all "
    "tables. Tables of single models show the seed that is median on validation, not the best on test."
)


def result_section(material: Material) -> list[Block]:
    """Return the section on the chosen model and its scores."""
    choices, measured = material.summary.choices, material.summary.measured[material.summary.choices.best]
    chosen = material.summary.contenders[choices.best]
    seeds = len(chosen.retrainings)
    reason = (
        f"of {len(material.summary.tested)} configurations {choices.small.reason(chosen)}"
        if choices.small
        else f"the best of {len(material.summary.tested)} configurations by mean validation macro-F1 "
        f"({100 * chosen.mean_val_macro_f1:.1f} %)"
    )
    mean = {name: 100 * float(np.mean(values)) for name, values in measured.seeds.items()}
    parts: list[Inline] = [
        "The chosen model is ",
        Strong(choices.best),
        f" ({FAMILY_NAMES[chosen.configuration.family]}, {chosen.retrainings[0].parameters:,} parameters), {reason}. "
        f"On the test split it reaches, as a mean over {seeds_text(seeds)}, ",
        Strong(f"{mean['accuracy']:.1f} % accuracy and {mean['macro_f1']:.1f} % macro-F1"),
        f". The seed that is median on validation has {percent(measured.intervals['accuracy'], 1)} % accuracy and "
        f"{percent(measured.intervals['macro_f1'], 1)} % macro-F1 (95 % bootstrap intervals over test images).",
    ]
    return [*_quick_look(material), paragraph(*parts, _best_published(material))]


def _best_published(material: Material) -> str:
    """Return sentences on the best published configuration; an empty string without any."""
    choices = material.summary.choices
    published = [material.summary.contenders[label] for label in choices.published_by_family.values()]
    if not published:
        return ""
    rival = max(published, key=lambda contender: contender.mean_val_macro_f1)
    score = 100 * float(np.mean(material.summary.measured[rival.label].seeds["macro_f1"]))
    text = (
        f" The best published configuration, trained and chosen in the same way, is {rival.label} with "
        f"{score:.1f} % macro-F1 on the test split."
    )
    if rival.label != choices.best:
        return text
    return f"{text} It is the chosen model{'' if choices.small else ': the search found nothing better'}."


def _quick_look(material: Material) -> list[Block]:
    """Return a warning if every training was shorter than in the search."""
    longest = max(material.summary.contenders.values(), key=lambda contender: contender.max_epochs)
    searched = material.summary.search.provenance["max_epochs"]
    if longest.max_epochs >= searched:
        return []
    seeds = seeds_text(len(longest.retrainings))
    warning = (
        f"This is a quick look: {seeds} of at most {longest.max_epochs} epochs each, where the search trained for up "
        f"to {searched}. Full trainings score higher, and the published scores are of full trainings."
    )
    return [paragraph(Strong(warning))]


def search_section(material: Material) -> list[Block]:
    """Return the section on the cost, the best score and the figures of the search."""
    costs, recipe = search_costs(material.summary.search), material.summary.search.provenance.get("recipe")
    text = f"The search had a budget of {costs['budget']:.0f} configurations. "
    text += f"Its recipe is described as “{recipe}”. " if recipe else ""
    verb = "was" if costs["pruned"] == 1 else "were"
    text += (
        f"Of its trials, {costs['complete']:.0f} ran to the end, {costs['pruned']:.0f} {verb} pruned and "
        f"{costs['failed']:.0f} failed. They spent {costs['epochs_spent']:,.0f} epochs"
    )
    if "epochs_saved" in costs:
        text += (
            f", {100 * costs['epochs_saved']:.0f} % less than the {costs['epochs_full']:,.0f} epochs of training "
            "all of them to the end"
        )
    text += "."
    if "best" in costs:
        text += f" The best validation macro-F1 in the search is {100 * costs['best']:.1f} %"
        text += f", {points(costs['gain'])} against the best published configuration" if "gain" in costs else ""
        text += ". As the largest of many noisy scores it is too good on average (see Cost and gain)."
    if "importance" not in material.figures:
        text += (
            f" There are too few trials for the importance of the hyperparameters: no family has {FEWEST_TRIALS} at a "
            "rung, with scores and settings that vary."
        )
    return [paragraph(text), *figures_of(material, "search")]


def models_section(material: Material) -> list[Block]:
    """Return the section on the protocol, the chosen configuration and the comparison of models."""
    chosen = material.summary.contenders[material.summary.choices.best]
    hyperparameters = chosen.configuration.to_mapping()
    frame = pd.DataFrame(
        {
            "Hyperparameter": list(hyperparameters),
            "Value": [value_text(value) for value in hyperparameters.values()],
        }
    )
    title = f"Configuration of {chosen.label}"
    table = TableBlock((Panel(title, frame),))
    protocol = _PROTOCOL + _folds(material)
    for contender in material.summary.contenders.values():
        if contender.origin == FOUND and contender.search_val_macro_f1 is None:
            protocol += f" {contender.label} is the best found configuration, retrained for longer than in the search."
        if contender.origin == ENSEMBLE:
            protocol += (
                f" {contender.label} averages the probabilities of networks that differ only in their seeds; its "
                "parameters and seconds are their sums."
            )
        if contender.origin == DISTILLED:
            protocol += (
                f" {contender.label} is one network, trained on the labels and on the ensemble's probabilities of each "
                "augmented training image."
            )
    return [paragraph(protocol), table, *tables_of(material, "3", "6", "8"), *figures_of(material, "model")]


def _folds(material: Material) -> str:
    """Return sentences that explain validation with folds; an empty string without folds."""
    folds = material.summary.search.provenance["data"].get("preparation", {}).get("folds")
    if not folds:
        return ""
    return (
        f" The search was scored on {folds} folds. So is every retraining: {folds} networks, each trained without one "
        "fold, predict the images of that fold, and validation scores are those of all these predictions together. "
        "They also set the threshold. The model itself is a further network, trained on all training and validation "
        "images for the number of epochs that scored best."
    )


def errors_section(material: Material) -> list[Block]:
    """Return the section on scores per class and confusions."""
    return [*tables_of(material, "4", "5"), *figures_of(material, "errors")]


def cost_section(material: Material) -> list[Block]:
    """Return the section on cost, gain and optimism of the search."""
    gains = search_gains(material.summary)
    blocks: list[Block] = []
    if "optimism" in gains:
        text = (
            "Optimism. The best score of a search is the largest of many noisy scores and therefore too good on "
            "average. Retrained with fresh seeds, the configuration with the search's best score has a mean of "
            f"{100 * gains['retrained']:.1f} % on validation. The search's own score differs by "
            f"{points(gains['optimism'])}, with both validated as in the search. The retrained scores in turn decided "
            "among the retrained configurations. Only the test split, opened afterwards, had no part in any choice."
        )
        blocks.append(paragraph(text))
    return blocks + tables_of(material, "7")
