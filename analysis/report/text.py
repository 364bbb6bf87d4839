"""The report: one Markdown page that leads from data to model, every table and figure in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.tuning.contender import Contender, TestedContender
from captions import FAMILY_NAMES, data_sentence, is_blood, official_name
from contenders import FOUND
from published import load_papers
from scores import Measured
from selection import Choices
from tables.files import Panel, Table, escape_markdown, to_markdown
from tables.scores import percent
from tables.search import search_costs, search_gains

REPORT = "report.md"

# A figure stands in the section that has a part of its name; one without a section comes at the end.
_FIGURE_SECTIONS = {
    "data": ("sample",),
    "search": ("best_so_far", "learning_curve", "importance", "parallel"),
    "reproduction": ("training_loss", "precision"),
    "model": ("side_by_side", "calibration"),
    "errors": ("confusion", "predict"),
}
_SAME_LOSS = (
    "Cross-entropy on logits (CrossEntropy) and negative log-likelihood on log-softmax (NLLLoss) are the "
    "same function. Configurations 1 and 3 of a family are therefore the same configuration, and so are 2 "
    "and 4: here they are trained once and shown twice; what they differ by in the paper is seed noise."
)
_SECOND_PAPER = (
    "The second paper gives no widths, no learning rate and no momentum. Assumed are 16, 16, 64, 64 and 64 "
    "channels with a 128-128 head, as in the MedMNIST tutorial network that it follows"
)
_PROTOCOL = (
    "Each configuration was retrained with fresh seeds, keeping the epoch that was best on validation; one with a "
    "constant rate ended early where it stopped getting better. A model that was trained with the dihedral group "
    "predicts with the mean over its eight views, one trained with shifts too also over those of the picture moved by "
    "a pixel, on validation as on the test split. Configurations were ranked by their mean validation macro-F1 over "
    "the seeds. Only after every choice was frozen was the test split opened, once, for all rows of all tables in one "
    "pass. Tables of single models show the seed that is median on validation, not the best on test."
)


@dataclass(frozen=True, eq=False)
class Material:
    """All that the report is written from; ``figures`` maps file stems under ``figures/`` to captions."""

    run: RunDirectory
    tested: Sequence[TestedContender]
    measured: Mapping[str, Measured]
    class_names: Sequence[str]
    choices: Choices
    tables: Sequence[Table]
    figures: Mapping[str, str]

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance of the run."""
        return self.run.read_json(PROVENANCE)

    @property
    def contenders(self) -> dict[str, Contender]:
        """The contenders by label."""
        return {one.contender.label: one.contender for one in self.tested}

    def compares(self) -> bool:
        """Tell whether published values can stand beside these."""
        return is_blood(self.class_names)


def write_report(material: Material, folder: Path) -> Path:
    """Write ``report.md`` beside the folders ``figures`` and ``tables``; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / REPORT
    file.write_text(report(material), encoding="utf-8")
    return file


def report(material: Material) -> str:
    """Return the report as GitHub Markdown."""
    blocks = [f"# {escape_markdown(title(material))}"]
    for name, section in sections(material).items():
        blocks += [f"## {name}", *section]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def title(material: Material) -> str:
    """Return what the report is called."""
    synthetic = " on synthetic data" if material.provenance["data"]["synthetic"] else ""
    return f"Bloodtune, run {material.run.name}{synthetic}"


def sections(material: Material) -> dict[str, list[str]]:
    """Return the sections of the report in their order, each as blocks of Markdown."""
    writers: dict[str, Callable[[Material], list[str]]] = {
        "Result": _result,
        "Data": _data,
        "Search": _search,
        "Reproduction of the published configurations": _reproduction,
        "The models side by side": _model,
        "Errors": _errors,
        "Cost and gain": _cost,
        "Provenance": _provenance,
        "How to cite": _citations,
    }
    found = {name: write(material) for name, write in writers.items()}
    rest = _figures(material, None)
    return found | ({"Further figures": rest} if rest else {})


def _result(material: Material) -> list[str]:
    choices, measured = material.choices, material.measured[material.choices.best]
    chosen = material.contenders[choices.best]
    seeds = len(chosen.retrainings)
    mean = {name: 100 * float(np.mean(values)) for name, values in measured.seeds.items()}
    text = (
        f"The chosen model is **{escape_markdown(choices.best)}** "
        f"({FAMILY_NAMES[chosen.configuration.family]}, {chosen.retrainings[0].parameters:,} parameters), "
        f"the best of {len(material.tested)} configurations by mean validation macro-F1 "
        f"({100 * chosen.mean_val_macro_f1:.1f} %). On the test split it reaches, as a mean over "
        f"{_seeds(seeds)}, **{mean['accuracy']:.1f} % accuracy and {mean['macro_f1']:.1f} % macro-F1**; the "
        f"seed that is median on validation alone: accuracy {percent(measured.intervals['accuracy'], 1)} %, "
        f"macro-F1 {percent(measured.intervals['macro_f1'], 1)} % (95 % bootstrap intervals over test "
        "images)."
    )
    published = [material.contenders[label] for label in choices.published_by_family.values()]
    if published:
        rival = max(published, key=lambda contender: contender.mean_val_macro_f1)
        score = 100 * float(np.mean(material.measured[rival.label].seeds["macro_f1"]))
        text += (
            f" The best published configuration, trained and judged in the same way, is {rival.label} with "
            f"{score:.1f} % macro-F1 on the test split."
        )
        if rival.label == choices.best:
            text += " It is the chosen one: the search found nothing better."
    return [*_quick_look(material), text, _escaped_data(material)]


def _quick_look(material: Material) -> list[str]:
    """Warn where every training was shorter than the search's own; a paper's few epochs alone are no quick look."""
    longest = max(material.contenders.values(), key=lambda contender: contender.max_epochs)
    searched = material.provenance["max_epochs"]
    if longest.max_epochs >= searched:
        return []
    seeds = _seeds(len(longest.retrainings))
    return [
        f"**This is a quick look: {seeds} of at most {longest.max_epochs} epochs each, where the search trained for up "
        f"to {searched}. Scores are lower than they would be, and published ones are of full trainings.**"
    ]


def _data(material: Material) -> list[str]:
    data = material.provenance["data"]
    blocks = [_escaped_data(material), _standing(data, material.compares())]
    counts = data.get("class_counts", {})
    frame = pd.DataFrame({"Class": [*data["class_names"], "all"]})
    for split, size in data["split_sizes"].items():
        by_class = counts.get(split, [None] * len(data["class_names"]))
        frame[split] = [*("–" if count is None else f"{count:,}" for count in by_class), f"{size:,}"]
    blocks.append(to_markdown((Panel("Images of each class and split", frame),), "").strip())
    if data.get("audit"):
        copies = [_audit_clause(name, count) for name, count in data["audit"].items()]
        blocks.append(f"Leakage audit, exact copies of images: {'; '.join(copies)}.")
    if material.compares():
        official = load_papers().split_sizes
        for paper in load_papers().papers:
            if paper.split_sizes and paper.split_sizes != official:
                blocks.append(
                    f"The text of the {paper.name} gives {paper.split_sizes['val']:,} validation and "
                    f"{paper.split_sizes['test']:,} test images. That is a slip: the official split has "
                    f"{official['val']:,} and {official['test']:,}, and the paper's own confusion matrices count as "
                    "many test images."
                )
    return [block for block in blocks if block] + _figures(material, "data")


def _search(material: Material) -> list[str]:
    provenance, costs = material.provenance, search_costs(material.run)
    recipe = f" of the recipe `{provenance['recipe']}`" if provenance.get("recipe") else ""
    text = (
        f"The search had a budget of {costs['budget']:.0f} configurations{recipe}. "
        f"{costs['complete']:.0f} trials ran to the end, {costs['pruned']:.0f} were stopped early, "
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
        text += f", {_points(costs['gain'])} against the best published configuration" if "gain" in costs else ""
        text += "; being the largest of many, it flatters (see Cost and gain)."
    return [text, *_figures(material, "search")]


def _reproduction(material: Material) -> list[str]:
    blocks = [_SAME_LOSS, _SECOND_PAPER + _assumed_rate(material)]
    if material.compares():
        means = _family_means(material)
        if means:
            blocks.append(
                "Mean weighted F1 over the configurations of a family (and the seeds of each), against the "
                "mean "
                "that the paper's text gives:\n\n" + "\n".join(f"- {mean}" for mean in means)
            )
        for paper in load_papers().papers:
            remarks = "\n".join(f"- {escape_markdown(remark)}" for remark in paper.remarks)
            blocks.append(f"Where the {paper.name} is silent or differs from itself:\n\n{remarks}")
    else:
        blocks.append(
            "The published values are for BloodMNIST and say nothing about these classes: no table here shows them."
        )
    return blocks + _tables(material, "1", "2", "2b", "3") + _figures(material, "reproduction")


def _model(material: Material) -> list[str]:
    chosen = material.contenders[material.choices.best]
    hyperparameters = chosen.configuration.to_mapping()
    frame = pd.DataFrame(
        {
            "Hyperparameter": list(hyperparameters),
            "Value": [_value(value) for value in hyperparameters.values()],
        }
    )
    title = f"Configuration of {chosen.label}"
    table = to_markdown((Panel(title, frame),), "").strip()
    protocol = _PROTOCOL
    for contender in material.contenders.values():
        if contender.origin == FOUND and contender.search_val_macro_f1 is None:
            protocol += f" {contender.label}: the best found one once more, over more epochs than the search affords."
    return [protocol, table, *_tables(material, "6"), *_figures(material, "model")]


def _errors(material: Material) -> list[str]:
    return _tables(material, "4", "5") + _figures(material, "errors")


def _cost(material: Material) -> list[str]:
    gains = search_gains(material.run, material.contenders, material.measured, material.choices)
    blocks = []
    if "optimism" in gains:
        blocks.append(
            "Optimism. The best score of a search is the largest of many noisy ones and so too good on "
            "average. Retrained with fresh seeds, the configuration of the search's best score has a mean "
            f"of {100 * gains['retrained']:.1f} % on validation: the search's own figure differs from it by "
            f"{_points(gains['optimism'])}, both as a search validates. The retrained figure in turn chose among "
            "the few that were retrained; only the test split, opened after that, had no part in any choice."
        )
    return blocks + _tables(material, "7")


def _provenance(material: Material) -> list[str]:
    provenance = material.provenance
    names = ("command", "recipe", "budget", "seed", "workers", "devices", "started", "ended", "git_commit")
    rows = {name.replace("_", " "): provenance[name] for name in names if provenance.get(name) is not None}
    rows |= {f"data {name}": provenance["data"].get(name) for name in ("source", "md5")}
    rows |= {f"{name} version": version for name, version in provenance.get("versions", {}).items()}
    frame = pd.DataFrame({"What": list(rows), "Value": [_value(value) for value in rows.values()]})
    return [to_markdown((Panel("", frame),), "").strip()]


def _citations(material: Material) -> list[str]:
    data = material.provenance["data"]
    sources = []
    if not data["synthetic"]:
        sources.append("J. Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023).")
        if material.compares():
            sources.append(
                "A. Acevedo et al., A dataset of microscopic peripheral blood cell images for development of "
                "automatic recognition systems, Data in Brief 30, 105474 (2020)."
            )
    sources += [paper.citation for paper in load_papers().papers]
    sources += [
        "L. Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys (2020).",
        "T. Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD (2019).",
        "R. Liaw et al., Tune: A Research Platform for Distributed Model Selection and Training (2018).",
    ]
    commit = material.provenance.get("git_commit")
    program = f"Bloodtune{f', commit {commit[:12]}' if commit else ''}, run {escape_markdown(material.run.name)}."
    return ["\n".join(f"- {source}" for source in [program, *sources])]


def _escaped_data(material: Material) -> str:
    return escape_markdown(data_sentence(material.provenance))


def _standing(data: Mapping[str, Any], compares: bool) -> str:
    """Say what a score on these data is worth; nothing for an official file."""
    if data["synthetic"]:
        return (
            "**These images are synthetic.** They show that the program works; no number on this page says "
            "anything about blood cells. Published values stand beside them to show where they would."
        )
    if compares and official_name(data["md5"]) is None:
        return (
            "Which image is in which split is not the official choice: scores can be set beside published "
            "ones of BloodMNIST but are not scores on its official split."
        )
    return ""


def _audit_clause(name: str, count: int) -> str:
    first, _, second = name.partition("_")
    return f"{count:,} of {second} also in {first}" if second else f"{count:,} within {first}"


def _family_means(material: Material) -> list[str]:
    published = load_papers().weighted_f1_percent()
    clauses = []
    for family, name in FAMILY_NAMES.items():
        labels = [
            label
            for label, contender in material.contenders.items()
            if label in published and contender.configuration.family == family
        ]
        if labels:
            ours = {label: 100 * float(np.mean(material.measured[label].seeds["weighted_f1"])) for label in labels}
            mean = float(np.mean(list(ours.values())))
            text = float(np.mean([published[label] for label in labels]))
            widest = max(labels, key=lambda label: abs(ours[label] - published[label]))
            clauses.append(
                f"{name}: {mean:.1f} % here, {text:.1f} % published ({_points((mean - text) / 100)}); widest "
                f"difference of a configuration: {_points((ours[widest] - published[widest]) / 100)} "
                f"({widest})."
            )
    results = load_papers().results
    for label in material.contenders:
        accuracy = results[label].accuracy if label in results else None
        if accuracy is not None:
            ours_accuracy = 100 * np.mean(material.measured[label].seeds["accuracy"])
            clauses.append(
                f"{label}: accuracy {ours_accuracy:.1f} % here, approximately {100 * accuracy:.0f} % published."
            )
    return clauses


def _assumed_rate(material: Material) -> str:
    """Finish the sentence on what was assumed for the second paper's network."""
    lightweight = [label for label, one in load_papers().results.items() if one.family == "lightweight"]
    for label in lightweight:
        if label in material.contenders:
            configuration = material.contenders[label].configuration
            momentum = f"momentum {configuration.momentum:g}" if configuration.momentum else "no momentum"
            return f"; SGD with a learning rate of {configuration.learning_rate:g} and {momentum}."
    return "."


def _tables(material: Material, *numbers: str) -> list[str]:
    found = {table.name.removeprefix("table").partition("_")[0]: table for table in material.tables}
    return [
        f"**Table {number}.** {to_markdown(found[number].panels, found[number].caption).strip()}"
        for number in numbers
        if number in found
    ]


def _figures(material: Material, section: str | None) -> list[str]:
    return [
        f"![{re.sub(r'[^0-9a-zA-Z]+', ' ', stem)}](figures/{stem}.png)\n\n{escape_markdown(caption)}"
        for stem, caption in material.figures.items()
        if _section(stem) == section
    ]


def _section(stem: str) -> str | None:
    for section, parts in _FIGURE_SECTIONS.items():
        if any(part in stem for part in parts):
            return section
    return None


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points".replace("-", "−")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items() if one != [])
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
