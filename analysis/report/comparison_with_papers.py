"""The section of the report that reproduces the papers' configurations."""

from __future__ import annotations

import numpy as np

from display_names import FAMILY_NAMES
from published import load_papers
from report.blocks import Block, Bullets, paragraph
from report.material import Material, figures_of, points, tables_of

_SAME_LOSS = (
    "Cross-entropy on logits (CrossEntropy) and negative log-likelihood on log-softmax (NLLLoss) are the same "
    "function. Configurations 1 and 3 of a family are therefore the same configuration, and so are 2 and 4. Here each "
    "pair is trained once and shown twice. In the paper, a pair differs by seed noise."
)
_SECOND_PAPER = (
    "The second paper gives no widths, no learning rate and no momentum. We assume 16, 16, 64, 64 and 64 channels with "
    "a 128-128 head, as in the network of the MedMNIST tutorial that it follows"
)


def reproduction_section(material: Material) -> list[Block]:
    """Return the section on the papers' gaps and on their configurations; empty if none of these was retrained."""
    if not material.summary.choices.published_by_family:
        return []
    blocks: list[Block] = [paragraph(_SAME_LOSS), paragraph(_SECOND_PAPER + _assumed_rate(material))]
    if material.summary.is_blood:
        if means := _family_means(material):
            text = (
                "Mean weighted F1 over the configurations of a family and their seeds, compared with the mean in the "
                "paper's text:"
            )
            blocks += [paragraph(text), Bullets(tuple(means))]
        for paper in load_papers().papers:
            blocks += [
                paragraph(f"Remarks on the {paper.name}:"),
                Bullets(tuple(paper.remarks)),
            ]
    else:
        text = "The published values are for BloodMNIST and say nothing about these classes. They are left out."
        blocks.append(paragraph(text))
    return blocks + tables_of(material, "1", "2", "2b") + figures_of(material, "reproduction")


def _family_means(material: Material) -> list[str]:
    published = load_papers().weighted_f1_percent()
    clauses = []
    for family, name in FAMILY_NAMES.items():
        labels = [
            label
            for label, contender in material.summary.contenders.items()
            if label in published and contender.configuration.family == family
        ]
        if labels:
            ours = {
                label: 100 * float(np.mean(material.summary.measured[label].seeds["weighted_f1"])) for label in labels
            }
            mean = float(np.mean(list(ours.values())))
            text = float(np.mean([published[label] for label in labels]))
            widest = max(labels, key=lambda label: abs(ours[label] - published[label]))
            clauses.append(
                f"{name}: {mean:.1f} % here, {text:.1f} % published ({points((mean - text) / 100)}). The largest "
                f"difference of a configuration is {points((ours[widest] - published[widest]) / 100)} ({widest})."
            )
    results = load_papers().results
    for label in material.summary.contenders:
        accuracy = results[label].accuracy if label in results else None
        if accuracy is not None:
            ours_accuracy = 100 * np.mean(material.summary.measured[label].seeds["accuracy"])
            clauses.append(
                f"{label}: accuracy {ours_accuracy:.1f} % here, approximately {100 * accuracy:.0f} % published."
            )
    return clauses


def _assumed_rate(material: Material) -> str:
    """Return the end of the sentence on the assumptions for the second paper's network."""
    lightweight = [label for label, one in load_papers().results.items() if one.family == "lightweight"]
    for label in lightweight:
        if label in material.summary.contenders:
            configuration = material.summary.contenders[label].configuration
            momentum = f"momentum {configuration.momentum:g}" if configuration.momentum else "no momentum"
            return f", and SGD with a learning rate of {configuration.learning_rate:g} and {momentum}."
    return "."
