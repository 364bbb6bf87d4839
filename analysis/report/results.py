"""Sections of the report on our own results: chosen model, search, comparison, errors, cost and gain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from captions import FAMILY_NAMES
from contenders import FOUND
from report.blocks import Block, Code, Inline, Strong, TableBlock, paragraph
from report.material import Material, figures_of, points, seeds_text, tables_of, value_text
from tables.cells import percent
from tables.files import Panel
from tables.search import search_costs, search_gains

_PROTOCOL = (
    "Each configuration was retrained with fresh seeds, keeping the epoch that was best on validation; one with a "
    "constant rate ended early where it stopped getting better. A model that was trained with the dihedral group "
    "predicts with the mean over its eight views, one trained with shifts too also over those of the picture moved by "
    "a pixel, on validation as on the test split. Configurations were ranked by their mean validation macro-F1 over "
    "the seeds. Only after every choice was frozen was the test split opened, once, for all rows of all tables in one "
    "pass. Tables of single models show the seed that is median on validation, not the best on test."
)


def result_section(material: Material) -> list[Block]:
    """Return the section: the chosen model and its scores."""
    choices, measured = material.summary.choices, material.summary.measured[material.summary.choices.best]
    chosen = material.summary.contenders[choices.best]
    seeds = len(chosen.retrainings)
    mean = {name: 100 * float(np.mean(values)) for name, values in measured.seeds.items()}
    parts: list[Inline] = [
        "The chosen model is ",
        Strong(choices.best),
        f" ({FAMILY_NAMES[chosen.configuration.family]}, {chosen.retrainings[0].parameters:,} parameters), the best of "
        f"{len(material.summary.tested)} configurations by mean validation macro-F1 "
        f"({100 * chosen.mean_val_macro_f1:.1f} %). On the test split it reaches, as a mean over {seeds_text(seeds)}, ",
        Strong(f"{mean['accuracy']:.1f} % accuracy and {mean['macro_f1']:.1f} % macro-F1"),
        "; the seed that is median on validation alone: "
        f"accuracy {percent(measured.intervals['accuracy'], 1)} %, macro-F1 "
        f"{percent(measured.intervals['macro_f1'], 1)} % (95 % bootstrap intervals over test images).",
    ]
    return [*_quick_look(material), paragraph(*parts, _rival(material))]


def _rival(material: Material) -> str:
    """Return the sentence on the best published configuration; an empty string without any."""
    choices = material.summary.choices
    published = [material.summary.contenders[label] for label in choices.published_by_family.values()]
    if not published:
        return ""
    rival = max(published, key=lambda contender: contender.mean_val_macro_f1)
    score = 100 * float(np.mean(material.summary.measured[rival.label].seeds["macro_f1"]))
    text = (
        f" The best published configuration, trained and judged in the same way, is {rival.label} with "
        f"{score:.1f} % macro-F1 on the test split."
    )
    return text + " It is the chosen one: the search found nothing better." if rival.label == choices.best else text


def _quick_look(material: Material) -> list[Block]:
    """Warn where every training was shorter than the search's own; a paper's few epochs alone are no quick look."""
    longest = max(material.summary.contenders.values(), key=lambda contender: contender.max_epochs)
    searched = material.summary.search.provenance["max_epochs"]
    if longest.max_epochs >= searched:
        return []
    seeds = seeds_text(len(longest.retrainings))
    warning = (
        f"This is a quick look: {seeds} of at most {longest.max_epochs} epochs each, where the search trained for up "
        f"to {searched}. Scores are lower than they would be, and published ones are of full trainings."
    )
    return [paragraph(Strong(warning))]


def search_section(material: Material) -> list[Block]:
    """Return the section: what was tried, and the figures of the search."""
    provenance, costs = material.summary.search.provenance, search_costs(material.summary.search)
    recipe: list[Inline] = [" of the recipe ", Code(provenance["recipe"])] if provenance.get("recipe") else []
    text = (
        f". {costs['complete']:.0f} trials ran to the end, {costs['pruned']:.0f} were stopped early, "
        f"{costs['failed']:.0f} failed. They spent {costs['epochs_spent']:,.0f} epochs"
    )
    if "epochs_saved" in costs:
        text += (
            f", {100 * costs['epochs_saved']:.0f} % less than the {costs['epochs_full']:,.0f} of training "
            "all of them to the end"
        )
    text += "."
    if "best" in costs:
        text += f" The best validation macro-F1 that the search saw is {100 * costs['best']:.1f} %"
        text += f", {points(costs['gain'])} against the best published configuration" if "gain" in costs else ""
        text += "; being the largest of many, it flatters (see Cost and gain)."
    budget = f"The search had a budget of {costs['budget']:.0f} configurations"
    return [paragraph(budget, *recipe, text), *figures_of(material, "search")]


def models_section(material: Material) -> list[Block]:
    """Return the section: the protocol, the chosen configuration and the comparison."""
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
    protocol = _PROTOCOL
    for contender in material.summary.contenders.values():
        if contender.origin == FOUND and contender.search_val_macro_f1 is None:
            protocol += f" {contender.label}: the best found one once more, over more epochs than the search affords."
    return [paragraph(protocol), table, *tables_of(material, "6"), *figures_of(material, "model")]


def errors_section(material: Material) -> list[Block]:
    """Return the section: scores of each class and confusions."""
    return [*tables_of(material, "4", "5"), *figures_of(material, "errors")]


def cost_section(material: Material) -> list[Block]:
    """Return the section: cost, gain and optimism of the search."""
    gains = search_gains(material.summary)
    blocks: list[Block] = []
    if "optimism" in gains:
        text = (
            "Optimism. The best score of a search is the largest of many noisy ones and so too good on "
            "average. Retrained with fresh seeds, the configuration of the search's best score has a mean "
            f"of {100 * gains['retrained']:.1f} % on validation: the search's own figure differs from it by "
            f"{points(gains['optimism'])}, both as a search validates. The retrained figure in turn chose among "
            "the few that were retrained; only the test split, opened after that, had no part in any choice."
        )
        blocks.append(paragraph(text))
    return blocks + tables_of(material, "7")
