"""The table of pairwise comparisons: difference in accuracy and exact McNemar test."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.training.metrics import Interval
from bloodtune.tuning.retrained_models import TestedContender
from significance import accuracy_difference, holm, mcnemar
from summary_data import Summary
from tables.files import Panel, Table
from tables.number_format import p_value, percent

_COLUMNS = ["first", "second", "accuracy_difference", "difference_low", "difference_high", "b", "c", "p"]


def comparison_table(summary: Summary, generator: np.random.Generator) -> Table:
    """Return table 6: all pairs of each family's best published model, the best found and the chosen model."""
    compared = [summary.by_label[label] for label in summary.choices.compared()]
    rows = [_row(*pair, summary.test.labels, generator) for pair in itertools.combinations(compared, 2)]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
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
        f"The published networks and the chosen model on the same {len(summary.test.labels):,} test images: difference "
        "in accuracy and exact two-sided McNemar test."
    )
    note = (
        "The difference has a 95 % paired bootstrap interval. b, c: images that only the first, only the second model "
        f"has right. p (Holm) is corrected for {len(frame)} comparison{'s' if len(frame) != 1 else ''} after Holm. The "
        "models are the best published configuration of each family, the best found configuration and the chosen one, "
        "all by validation. Each is its seed that is median on validation. The test compares these models, not seeds."
    )
    return Table("table6_mcnemar", caption, frame, (Panel("", shown),), note, summary.mark)


def _row(
    first: TestedContender, second: TestedContender, labels: np.ndarray, generator: np.random.Generator
) -> dict[str, Any]:
    result = mcnemar(labels, *(one.median_probabilities.argmax(axis=1) for one in (first, second)))
    difference = accuracy_difference(result, len(labels), generator)
    return {
        "first": first.contender.label,
        "second": second.contender.label,
        "accuracy_difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "b": result.only_first,
        "c": result.only_second,
        "p": result.p,
    }
