"""The tables of classes: scores per class, and the most frequent confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.training.metrics import per_class
from bloodtune.tuning.retrained_models import TestedContender
from display_names import FAMILY_NAMES
from published import load_papers
from scores import predicted_matrix
from summary_data import Summary
from tables.files import Panel, Table

_PAIRS = 6  # confusions per model: further confusions have one or two images each
_PAIR_COLUMNS = ["configuration", "true", "predicted", "count", "share"]
_NOTE = "The best configuration is chosen on validation and shown with its seed that is median on validation."


def per_class_table(summary: Summary) -> Table:
    """Return table 4: precision, recall, F1 and images per class, for the best contender of each family."""
    rows, panels = [], []
    for one in summary.chosen:
        precision, recall, f1, support = per_class(predicted_matrix(summary.test.labels, one.median_probabilities))
        part = pd.DataFrame(
            {
                "configuration": one.contender.label,
                "class": list(summary.class_names),
                "precision": precision,
                "recall": recall,
                "f1": f1,
                "support": support,
            }
        )
        rows.append(part)
        shown = part.drop(columns="configuration").astype({"support": str})
        for name in ("precision", "recall", "f1"):
            shown[name] = [f"{100 * value:.1f}" for value in part[name]]
        shown.columns = pd.Index(["Class", "Precision", "Recall", "F1", "Images"])
        panels.append(Panel(_role(one, summary), shown))
    caption = "Precision, recall and F1 per class in % on the test split, for the best configuration of each family."
    return Table("table4_per_class", caption, pd.concat(rows), tuple(panels), _NOTE, summary.mark)


def confused_pairs_table(summary: Summary) -> Table:
    """Return table 5: the most frequent confusions of each family's best contender, with the papers' counts.

    ``published_share`` is the mean over the four published matrices of the family, or of the CNN if a family has none.
    """
    papers = load_papers() if summary.is_blood else None
    rows, panels = [], []
    for one in summary.chosen:
        family = one.contender.configuration.family
        published = (papers.matrices(family) or papers.matrices("cnn")) if papers else []
        part = [
            {"configuration": one.contender.label, **_pair(pair, summary.class_names, published)}
            for pair in _most_confused(predicted_matrix(summary.test.labels, one.median_probabilities))
        ]
        rows += part
        paper = FAMILY_NAMES[family if papers and papers.matrices(family) else "cnn"]
        panels.append(Panel(_role(one, summary), _pairs_shown(part, paper)))
    caption = f"The {_PAIRS} most frequent confusions on the test split, for the best configuration of each family."
    note = f"The share is of the images of the true class. {_NOTE}"
    if papers:
        note += (
            " The columns on the right have the counts of the same confusion in the first paper's four matrices "
            "(Config-1 to Config-4), and their mean share of the true class."
        )
    frame = pd.DataFrame(rows, columns=None if rows else _PAIR_COLUMNS)
    return Table("table5_confused_pairs", caption, frame, tuple(panels), note, summary.mark)


def _role(one: TestedContender, summary: Summary) -> str:
    contender = one.contender
    family, choices = contender.configuration.family, summary.choices
    roles = [f"best {FAMILY_NAMES[family]}"] if contender.label == choices.by_family[family] else []
    roles += ["chosen"] if contender.label == choices.best else []
    return f"{contender.label} ({', '.join(roles)})"


def _most_confused(matrix: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return (true, predicted, count, images of the true class) of confusions, most frequent first."""
    wrong = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    pairs = [divmod(int(cell), len(matrix)) for cell in order if wrong.flat[cell]]
    return [(i, j, int(matrix[i, j]), int(matrix[i].sum())) for i, j in pairs]


def _pair(pair: tuple[int, int, int, int], names: Sequence[str], published: Sequence[np.ndarray]) -> dict[str, Any]:
    true, predicted, count, images = pair
    row: dict[str, Any] = {"true": names[true], "predicted": names[predicted], "count": count}
    row["share"] = count / images
    if published:
        counts = [int(matrix[true, predicted]) for matrix in published]
        row |= {f"published_{number}": found for number, found in enumerate(counts, start=1)}
        row["published_share"] = sum(counts) / sum(int(matrix[true].sum()) for matrix in published)
    return row


def _pairs_shown(pairs: Sequence[Mapping[str, Any]], paper: str) -> pd.DataFrame:
    shown = []
    for pair in pairs:
        row = {
            "True → predicted": f"{pair['true']} → {pair['predicted']}",
            "Images": str(pair["count"]),
            "% of class": f"{100 * pair['share']:.1f}",
        }
        counts = [str(value) for key, value in pair.items() if key.startswith("published_") and key[10:].isdigit()]
        if counts:
            row[f"Paper's {paper}s"] = ", ".join(counts)
            row["mean %"] = f"{100 * pair['published_share']:.1f}"
        shown.append(row)
    return pd.DataFrame(shown, columns=list(shown[0]) if shown else ["True → predicted", "Images", "% of class"])
