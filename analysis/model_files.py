"""Model folders of a summary: weights, and a card with threshold, data and scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.data.dataset import Dataset
from bloodtune.data.folds import held_out_split
from bloodtune.data.npz import Split
from bloodtune.files import replace
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import CARD, WEIGHTS, Classifier
from bloodtune.inference.confidence import (
    calibration_error,
    fit_temperature,
    keep_threshold,
    kept_scores,
    reliability,
    with_temperature,
)
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.run.provenance import describe_data_for_card, git_commit
from bloodtune.tuning.retraining_cache import HELD_OUT
from summary_data import Summary

# Training images to which a guard is fitted: many times the features of a residual network.
_GUARD_IMAGES = 4096


def write_models(folder: Path, summary: Summary, dataset: Dataset) -> None:
    """Write the chosen model into ``folder/best``, and the best model of each family into ``folder/<family>``.

    The model of a configuration is the seed that is median on validation.
    """
    places = {**summary.choices.by_family, "best": summary.choices.best}
    data, val = describe_data_for_card(dataset), held_out_split(dataset.train, dataset.val, dataset.folds)
    for label in dict.fromkeys(places.values()):
        contender = summary.contenders[label]
        source = contender.retrainings[contender.median].model
        card = json.loads((source / CARD).read_text(encoding="utf-8"))
        card |= {"label": label, "run": summary.search.name, "git_commit": git_commit(), "data": data}
        if summary.choices.small and label == summary.choices.best:
            card["choice"] = summary.choices.small.reason(contender)
        held_out = None if dataset.folds is None else np.load(source / HELD_OUT)
        scores, guard = judge_deployment(Classifier.load(source), dataset.train, val, summary.test, held_out)
        card |= scores
        card["test"] = {name: list(interval) for name, interval in summary.measured[label].intervals.items()}
        for target in (folder / place for place, chosen in places.items() if chosen == label):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
            if guard:
                replace(target / GUARD, guard.to_bytes())
            else:
                (target / GUARD).unlink(missing_ok=True)
            replace(target / CARD, (json.dumps(card, indent=2) + "\n").encode())


def judge_deployment(
    classifier: Classifier, train: Split, val: Split, test: Split, held_out: np.ndarray | None = None
) -> tuple[dict[str, Any], Guard | None]:
    """Calibrate a classifier as ``Deployment`` predicts; return entries of its card, and its guard.

    ``temperature`` calibrates the probabilities. ``threshold`` accepts as many validation images as possible while 99 %
    of the accepted images are correct; it is above 1 if no such threshold exists. ``used_val`` and ``used_test`` are
    scores on both splits: ``kept`` is the share of accepted images, ``kept_accuracy`` their accuracy, ``passed`` the
    share that the guard knows, ``calibration_error`` the expected calibration error and ``uncalibrated_error`` that
    without temperature. With folds, ``val`` are all held-out images, and ``held_out`` their probabilities (N, K) by the
    networks of the folds; the guard's limit then rests on images that the kept network was trained on.
    """
    deployment = Deployment(classifier)
    found, seen = deployment.examine(val.images)
    raw = {"val": found if held_out is None else held_out}
    raw["test"], features = deployment.examine(test.images)
    rows = _draw_by_class(train.labels)
    guard = Guard.fit(deployment.examine(train.images, rows)[1], train.labels[rows], seen)
    truth = {"val": val.labels, "test": test.labels}
    temperature = fit_temperature(raw["val"], val.labels)
    calibrated = {name: with_temperature(one, temperature) for name, one in raw.items()}
    threshold = keep_threshold(calibrated["val"], val.labels)
    card: dict[str, Any] = {"temperature": temperature, "threshold": threshold}
    for name, inputs in (("val", seen), ("test", features)):
        card[f"used_{name}"] = kept_scores(calibrated[name], truth[name], threshold) | {
            "passed": float(guard.knows(inputs).mean()) if guard else None,
            "calibration_error": calibration_error(reliability(truth[name], calibrated[name])),
            "uncalibrated_error": calibration_error(reliability(truth[name], raw[name])),
        }
    return card, guard


def _draw_by_class(labels: np.ndarray) -> np.ndarray:
    # Indices of at most _GUARD_IMAGES images, the same number of each class where there are so many, in the order of
    # the file, from which they may have to be read.
    order = np.random.default_rng(0).permutation(len(labels))
    classes = np.unique(labels)
    each = max(1, _GUARD_IMAGES // len(classes))
    return np.sort(np.concatenate([order[labels[order] == one][:each] for one in classes]))
