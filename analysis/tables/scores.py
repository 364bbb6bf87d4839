"""The table of test scores: every configuration with intervals, published values and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.tuning.retrained_models import TestedContender
from contender_labels import shared_trainings
from published import PublishedResult, load_papers
from scores import METRICS, Measured
from summary_data import Summary
from tables.files import Panel, Table
from tables.number_format import NOTHING, decimals_of, mean_and_sd, percent, two_decimals

TITLES = {
    "weighted_f1": "Weighted F1",
    "macro_f1": "Macro-F1",
    "weighted_precision": "Precision",
    "accuracy": "Accuracy",
    "auc": "AUC",
}
# Separate panels, so that each fits the width of a page.
_PARTS = {
    "F1": ["Weighted F1", "Text", "Matrix", "Macro-F1", "Matrix, macro"],
    "Accuracy": ["Accuracy", "Text, accuracy", "Matrix, accuracy"],
    "Precision and AUC": ["Precision", "Matrix, precision", "AUC"],
}


def f1_table(summary: Summary) -> Table:
    """Return table 3: every configuration with its scores, intervals, published values and cost.

    Scores in the frame are on [0, 1]. ``published_*`` are from the paper's text, ``matrix_*`` from its confusion
    matrix. Both are absent if the classes are not BloodMNIST's.
    """
    results = load_papers().results if summary.is_blood else {}
    published = [results.get(one.contender.label) for one in summary.tested]
    rows = [
        _f1_row(one, summary.measured[one.contender.label], results.get(one.contender.label)) for one in summary.tested
    ]
    frame = pd.DataFrame(rows)
    if not results:
        frame = frame[[name for name in frame if not str(name).startswith(("published_", "matrix_"))]]
    caption = "Scores of every configuration on the test split."
    return Table("table3_f1", caption, frame, _panels(summary, published), _note(summary), summary.mark)


def _panels(summary: Summary, published: Sequence[PublishedResult | None]) -> tuple[Panel, ...]:
    best = summary.choices.best
    names = [f"{label}{' (chosen)' if label == best else ''}" for label in summary.contenders]
    of = [summary.measured[label] for label in summary.contenders]
    decimals = {name: decimals_of([one.intervals[name] for one in of]) for name in METRICS}
    first = {"Configuration": names} | {
        TITLES[name]: [percent(one.intervals[name], decimals[name]) for one in of] for name in METRICS
    }
    scores = pd.DataFrame(first | (_published_columns(published) if summary.is_blood else {}))
    seeds = {"Configuration": names} | {
        TITLES[name]: [mean_and_sd(one.seeds[name], decimals[name]) for one in of] for name in METRICS
    }
    cost = {"Configuration": names} | _cost_columns(summary.tested)
    single = "the seed that is median on validation, % with 95 % bootstrap interval"
    return (
        *(
            Panel(f"{title} of {single}", scores[["Configuration", *(name for name in part if name in scores)]])
            for title, part in _PARTS.items()
        ),
        Panel("Mean ± standard deviation over the seeds, %", pd.DataFrame(seeds)),
        Panel("Validation macro-F1 in % (the basis of choice) and cost, means over the seeds", pd.DataFrame(cost)),
    )


def _note(summary: Summary) -> str:
    seeds = sorted({len(contender.retrainings) for contender in summary.contenders.values()})
    note = (
        "F1 and precision weight each class by its images. Macro-F1 weights all classes equally. AUC is MedMNIST's "
        "(mean of one class against the rest). Intervals are over test images with the model fixed. Means, epochs and "
        f"seconds are over {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}. The kept epoch is the best on "
        "validation."
        f"{shared_trainings(list(summary.contenders.values()))}"
    )
    if not summary.is_blood:
        return f"{note} Published values are left out, because they are for BloodMNIST."
    note += (
        " Text: the value in the paper's text (weighted F1 in the first paper, approximate accuracy in the second). "
        "Matrix: the score to its left, recomputed from the paper's own confusion matrices."
    )
    disagreements = load_papers().disagreements()
    return f"{note} † {'; '.join(disagreements)}." if disagreements else note


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
        "Text, accuracy": [f"≈{100 * r.accuracy:.0f}" if r and r.accuracy is not None else NOTHING for r in published],
    }
    recomputed = {
        "": "weighted_f1",
        ", macro": "macro_f1",
        ", precision": "weighted_precision",
        ", accuracy": "accuracy",
    }
    for ending, name in recomputed.items():
        columns[f"Matrix{ending}"] = [two_decimals(matrix.get(name)) for matrix in matrices]
    return columns


def _in_text(result: PublishedResult | None) -> str:
    if result is None or result.weighted_f1 is None:
        return NOTHING
    return f"{100 * result.weighted_f1:.2f}{'†' if result.disagreement() else ''}"


def _cost_columns(tested: Sequence[TestedContender]) -> dict[str, list[str]]:
    trained = [one.contender.retrainings for one in tested]
    return {
        "Validation": [mean_and_sd([r.val_macro_f1 for r in seeds], 1) for seeds in trained],
        "Seeds": [str(len(seeds)) for seeds in trained],
        "Parameters": [f"{seeds[0].parameters:,}" for seeds in trained],
        "Epochs": [f"{np.mean([r.epochs for r in seeds]):.0f}" for seeds in trained],
        "Kept epoch": [f"{np.mean([r.best_epoch for r in seeds]):.0f}" for seeds in trained],
        "Train s": [f"{np.mean([r.train_seconds for r in seeds]):.0f}" for seeds in trained],
    }


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
