"""The tables of test scores: per configuration, per class, per confusion, and model against model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.training.metrics import per_class
from bloodtune.tuning.contender import TestedContender
from captions import FAMILY_NAMES, is_blood
from contenders import shared_trainings
from published import PublishedResult, load_papers
from scores import METRICS, Interval, Measured, predicted_matrix
from selection import Choices
from significance import accuracy_difference, holm, mcnemar
from tables.files import Panel, Table

TITLES = {
    "weighted_f1": "Weighted F1",
    "macro_f1": "Macro-F1",
    "weighted_precision": "Precision",
    "accuracy": "Accuracy",
    "auc": "AUC",
}
_PAIRS = 6  # confusions shown for each model: below them are one or two images each
_NOTHING = "–"
_PAIR_COLUMNS = ["configuration", "true", "predicted", "count", "share"]


def f1_table(
    tested: Sequence[TestedContender],
    measured: Mapping[str, Measured],
    class_names: Sequence[str],
    choices: Choices,
    data: str,
) -> Table:
    """Table 3: every configuration with its scores, intervals, published values and cost.

    The frame is on [0, 1], ``published_*`` is the text's value and ``matrix_*`` the one from the paper's
    confusion matrix; these columns are absent where the classes are not BloodMNIST's.
    """
    published = load_papers().results if is_blood(class_names) else {}
    frame = pd.DataFrame(
        [_f1_row(one, measured[one.contender.label], published.get(one.contender.label)) for one in tested]
    )
    if not published:
        frame = frame[[name for name in frame if not str(name).startswith(("published_", "matrix_"))]]
    names = [f"{one.contender.label}{' (chosen)' if one.contender.label == choices.best else ''}" for one in tested]
    of = [measured[one.contender.label] for one in tested]
    decimals = {name: decimals_of([one.intervals[name] for one in of]) for name in METRICS}
    first = {"Configuration": names} | {
        TITLES[name]: [percent(one.intervals[name], decimals[name]) for one in of] for name in METRICS
    }
    beside = _published_columns([published.get(one.contender.label) for one in tested]) if published else {}
    # No wider than a page each.
    parts = {
        "F1": ["Weighted F1", "Text", "Matrix", "Macro-F1", "Matrix, macro"],
        "Accuracy": ["Accuracy", "Text, accuracy", "Matrix, accuracy"],
        "Precision and AUC": ["Precision", "Matrix, precision", "AUC"],
    }
    scores = pd.DataFrame(first | beside)
    cost = {"Configuration": names} | _cost_columns(tested)
    seeds = {"Configuration": names} | {
        TITLES[name]: [_mean_and_sd(one.seeds[name], decimals[name]) for one in of] for name in METRICS
    }
    single = "one model each (the seed that is median on validation), % with 95 % bootstrap interval"
    panels = (
        *(
            Panel(f"{title} of {single}", scores[["Configuration", *(name for name in part if name in scores)]])
            for title, part in parts.items()
        ),
        Panel("Mean ± standard deviation over the seeds, %", pd.DataFrame(seeds)),
        Panel("Validation macro-F1 that chose, %, and cost; means over the seeds", pd.DataFrame(cost)),
    )
    return Table("table3_f1", f"{_f1_caption(tested, bool(published))} {data}", frame, panels)


def per_class_table(
    tested: Sequence[TestedContender],
    labels: np.ndarray,
    class_names: Sequence[str],
    choices: Choices,
    data: str,
) -> Table:
    """Table 4: precision, recall, F1 and images of each class, for the best of each family."""
    rows, panels = [], []
    for label, one in _chosen(tested, choices).items():
        precision, recall, f1, support = per_class(predicted_matrix(labels, one.median_probabilities))
        part = pd.DataFrame(
            {
                "configuration": label,
                "class": list(class_names),
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
        panels.append(Panel(_role(one, choices), shown))
    caption = (
        "Precision, recall and F1 of each class in % on the test split, for the configuration of each family "
        "that was best on validation (the seed that is median on validation)."
    )
    return Table("table4_per_class", f"{caption} {data}", pd.concat(rows), tuple(panels))


def confused_pairs_table(
    tested: Sequence[TestedContender],
    labels: np.ndarray,
    class_names: Sequence[str],
    choices: Choices,
    data: str,
) -> Table:
    """Table 5: the most frequent confusions of the best of each family, beside those in the papers' matrices.

    ``published_share`` is the mean over the four matrices of the family (of the CNN where a family has none).
    """
    papers = load_papers() if is_blood(class_names) else None
    rows, panels = [], []
    for label, one in _chosen(tested, choices).items():
        family = one.contender.configuration.family
        published = (papers.matrices(family) or papers.matrices("cnn")) if papers else []
        part = [
            {"configuration": label, **_pair(pair, class_names, published)}
            for pair in _most_confused(predicted_matrix(labels, one.median_probabilities))
        ]
        rows += part
        paper = FAMILY_NAMES[family if papers and papers.matrices(family) else "cnn"]
        panels.append(Panel(_role(one, choices), _pairs_shown(part, paper)))
    caption = (
        f"The {_PAIRS} most frequent confusions on the test split, with their share of the images of the "
        "true class, for the configuration of each family that was best on validation (the seed that is "
        "median on validation)."
    )
    if papers:
        caption += (
            " Beside them: counts of the same confusion in the first paper's four matrices (Config-1 to "
            "Config-4) and their mean share of the true class."
        )
    return Table(
        "table5_confused_pairs",
        f"{caption} {data}",
        pd.DataFrame(rows, columns=None if rows else _PAIR_COLUMNS),
        tuple(panels),
    )


def comparison_table(
    tested: Sequence[TestedContender],
    labels: np.ndarray,
    choices: Choices,
    data: str,
    generator: np.random.Generator,
) -> Table:
    """Table 6: the best published one of each family, the best found and the chosen one, by McNemar's exact test."""
    by_label = {one.contender.label: one for one in tested}
    rows = []
    for first, second in itertools.combinations([by_label[label] for label in choices.compared()], 2):
        result = mcnemar(labels, *(one.median_probabilities.argmax(axis=1) for one in (first, second)))
        difference = accuracy_difference(result, len(labels), generator)
        rows.append(
            {
                "first": first.contender.label,
                "second": second.contender.label,
                "accuracy_difference": difference.value,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "b": result.only_first,
                "c": result.only_second,
                "p": result.p,
            }
        )
    columns = ["first", "second", "accuracy_difference", "difference_low", "difference_high", "b", "c", "p"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_holm"] = holm(frame.p.tolist())
    bounds = frame[["accuracy_difference", "difference_low", "difference_high"]].itertuples(index=False)
    shown = pd.DataFrame(
        {
            "First": frame["first"],
            "Second": frame["second"],
            "Second − first, points": [percent(Interval(*row), 1, sign=True) for row in bounds],
            "b": frame.b.astype(str),
            "c": frame.c.astype(str),
            "p": [p_value(p) for p in frame.p],
            "p (Holm)": [p_value(p) for p in frame.p_holm],
        }
    )
    caption = (
        f"The published networks and the chosen model on the same {len(labels):,} test images: difference in accuracy "
        "with its 95 % paired bootstrap interval; b, c: images that only the first, only the second has "
        "right; exact two-sided "
        f"McNemar test, corrected for {len(frame)} comparison{'s' if len(frame) != 1 else ''} after Holm. "
        "Compared are the published configuration of each family that was best on validation and the best of all (the "
        "seed that is median on validation), so the test speaks of these models, not of all seeds."
    )
    return Table("table6_mcnemar", f"{caption} {data}", frame, (Panel("", shown),))


def percent(interval: Interval, decimals: int, *, sign: bool = False) -> str:
    """Return an interval on [0, 1] in percent: ``95.0 [94.3, 95.7]``."""
    plus = "+" if sign else ""
    value, low, high = (f"{100 * bound:{plus}.{decimals}f}".replace("-", "−") for bound in interval)
    return f"{value} [{low}, {high}]"


def decimals_of(intervals: Sequence[Interval]) -> int:
    """Return the decimals of a column of percentages: 2 if its intervals are narrower than half a point."""
    return 1 if np.median([interval.high - interval.low for interval in intervals]) >= 0.005 else 2


def p_value(p: float) -> str:
    """Return a p-value with three decimals, or that it is below them."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _f1_row(one: TestedContender, measured: Measured, published: PublishedResult | None) -> dict[str, Any]:
    contender = one.contender
    row: dict[str, Any] = {
        "configuration": contender.label,
        "origin": contender.origin,
        "family": contender.configuration.family,
    }
    for name in METRICS:
        value, low, high = measured.intervals[name]
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        row |= {f"{name}_mean": np.mean(measured.seeds[name]), f"{name}_sd": _deviation(measured.seeds[name])}
    row |= {"published_weighted_f1": None, "published_accuracy": None}
    if published:
        row |= {"published_weighted_f1": published.weighted_f1, "published_accuracy": published.accuracy}
    recomputed = published.recomputed() if published else {}
    row |= {f"matrix_{name}": recomputed.get(name) for name in METRICS if name != "auc"}
    trained = contender.retrainings
    return row | {
        "parameters": trained[0].parameters,
        "seeds": len(trained),
        "epochs": np.mean([r.epochs for r in trained]),
        "best_epoch": np.mean([r.best_epoch for r in trained]),
        "train_seconds": np.mean([r.train_seconds for r in trained]),
        "val_macro_f1_mean": contender.mean_val_macro_f1,
    }


def _published_columns(published: Sequence[PublishedResult | None]) -> dict[str, list[str]]:
    matrices = [result.recomputed() if result else {} for result in published]
    columns = {
        "Text": [_in_text(result) for result in published],
        "Text, accuracy": [f"≈{100 * r.accuracy:.0f}" if r and r.accuracy is not None else _NOTHING for r in published],
    }
    recomputed = {
        "": "weighted_f1",
        ", macro": "macro_f1",
        ", precision": "weighted_precision",
        ", accuracy": "accuracy",
    }
    for ending, name in recomputed.items():
        columns[f"Matrix{ending}"] = [_two_decimals(matrix.get(name)) for matrix in matrices]
    return columns


def _in_text(result: PublishedResult | None) -> str:
    if result is None or result.weighted_f1 is None:
        return _NOTHING
    return f"{100 * result.weighted_f1:.2f}{'†' if result.disagreement() else ''}"


def _cost_columns(tested: Sequence[TestedContender]) -> dict[str, list[str]]:
    trained = [one.contender.retrainings for one in tested]
    return {
        "Validation": [_mean_and_sd([r.val_macro_f1 for r in seeds], 1) for seeds in trained],
        "Seeds": [str(len(seeds)) for seeds in trained],
        "Parameters": [f"{seeds[0].parameters:,}" for seeds in trained],
        "Epochs": [f"{np.mean([r.epochs for r in seeds]):.0f}" for seeds in trained],
        "Kept epoch": [f"{np.mean([r.best_epoch for r in seeds]):.0f}" for seeds in trained],
        "Train s": [f"{np.mean([r.train_seconds for r in seeds]):.0f}" for seeds in trained],
    }


def _f1_caption(tested: Sequence[TestedContender], published: bool) -> str:
    seeds = sorted({len(one.contender.retrainings) for one in tested})
    caption = (
        "Scores of every configuration on the test split. F1 and precision are weighted by the classes' "
        "images, macro-F1 counts each class the same, AUC is MedMNIST's (mean of one class against the "
        "rest). Intervals are over test images with the model fixed; means are over "
        f"{' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}, as are epochs (trained, the best on "
        "validation kept) and seconds."
        f"{shared_trainings([one.contender for one in tested])}"
    )
    if not published:
        return f"{caption} Published values are left out: they are for BloodMNIST."
    caption += (
        " Text: as the paper's text gives it (weighted F1 in the first paper, approximate accuracy in the second); "
        "Matrix: recomputed from the paper's own confusion matrices, for the score to its left."
    )
    disagreements = load_papers().disagreements()
    return f"{caption} † {'; '.join(disagreements)}." if disagreements else caption


def _chosen(tested: Sequence[TestedContender], choices: Choices) -> dict[str, TestedContender]:
    by_label = {one.contender.label: one for one in tested}
    return {label: by_label[label] for label in choices.labels()}


def _role(one: TestedContender, choices: Choices) -> str:
    contender = one.contender
    chosen = ", chosen" if contender.label == choices.best else ""
    return f"{contender.label} (best {FAMILY_NAMES[contender.configuration.family]}{chosen})"


def _most_confused(matrix: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return (true, predicted, count, images of the true class), most frequent first, none with count 0."""
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


def _mean_and_sd(shares: Sequence[float], decimals: int) -> str:
    values = 100 * np.array(shares)
    deviation = f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{deviation}"


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _two_decimals(share: float | None) -> str:
    return _NOTHING if share is None else f"{100 * share:.2f}"
