"""Model folders of a summary: weights, and a card with threshold, data and scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.data.dataset import Dataset
from bloodtune.data.npz import Split
from bloodtune.files import replace
from bloodtune.inference.classifier import CARD, WEIGHTS, Classifier
from bloodtune.inference.predictor import Deployment
from bloodtune.run.provenance import describe_data, git_commit
from bloodtune.training import metrics
from summary import Summary

KEPT_ACCURACY = 0.99


def write_models(folder: Path, summary: Summary, dataset: Dataset) -> None:
    """Write the best model of all into ``folder/best``, and that of each family into a folder of its name.

    The model of a configuration is its seed that is median on validation.
    """
    places = {**summary.choices.by_family, "best": summary.choices.best}
    data = {name: value for name, value in describe_data(dataset).items() if name not in ("source", "fell_back")}
    for label in dict.fromkeys(places.values()):
        contender = summary.contenders[label]
        source = contender.retrainings[contender.median].model
        card = json.loads((source / CARD).read_text(encoding="utf-8"))
        card |= {"label": label, "run": summary.search.name, "git_commit": git_commit(), "data": data}
        card |= as_used(Classifier.load(source), dataset.val, summary.test)
        card["test"] = {name: list(interval) for name, interval in summary.measured[label].intervals.items()}
        for target in (folder / place for place, chosen in places.items() if chosen == label):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
            replace(target / CARD, (json.dumps(card, indent=2) + "\n").encode())


def as_used(classifier: Classifier, val: Split, test: Split) -> dict[str, Any]:
    """Return a classifier's threshold, and what it does on both splits when it is put to use.

    ``threshold`` keeps as many validation images as it can with 99 % of those kept right; it is above 1 where not even
    the surest are. ``kept`` is the share at or above it, ``kept_accuracy`` the share of those that is right.
    """
    deployment = Deployment(classifier)
    probabilities = {name: deployment.predict(split.images) for name, split in (("val", val), ("test", test))}
    threshold = keep_threshold(probabilities["val"], val.labels, KEPT_ACCURACY)
    found: dict[str, Any] = {"threshold": threshold}
    for name, split in (("val", val), ("test", test)):
        predicted = probabilities[name].argmax(axis=1)
        kept = probabilities[name].max(axis=1) >= threshold
        matrix = metrics.confusion_matrix(split.labels, predicted, len(classifier.class_names))
        found[f"used_{name}"] = {
            "accuracy": float(metrics.accuracy(matrix)),
            "macro_f1": float(metrics.macro_f1(matrix)),
            "kept": float(kept.mean()),
            "kept_accuracy": float((predicted == split.labels)[kept].mean()) if kept.any() else None,
        }
    return found


def keep_threshold(probabilities: np.ndarray, labels: np.ndarray, accuracy: float) -> float:
    """Return the lowest probability of the predicted class above which a share of ``accuracy`` is right.

    Probabilities (N, K), labels (N,); a little above 1, which none reaches, where there is none.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order]) / np.arange(1, len(order) + 1)
    # Images of equal confidence are kept or left together: only the last of them can be the border.
    is_last = np.append(np.diff(confidence[order]) < 0, True)
    kept = np.flatnonzero((right >= accuracy) & is_last)
    return float(confidence[order][kept[-1]]) if len(kept) else float(np.nextafter(np.float32(1), np.float32(2)))
