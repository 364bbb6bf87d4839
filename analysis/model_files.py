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
    """Write the best model into ``folder/best``, and the best model of each family into ``folder/<family>``.

    The model of a configuration is the seed that is median on validation.
    """
    places = {**summary.choices.by_family, "best": summary.choices.best}
    data = {name: value for name, value in describe_data(dataset).items() if name not in ("source", "fell_back")}
    for label in dict.fromkeys(places.values()):
        contender = summary.contenders[label]
        source = contender.retrainings[contender.median].model
        card = json.loads((source / CARD).read_text(encoding="utf-8"))
        card |= {"label": label, "run": summary.search.name, "git_commit": git_commit(), "data": data}
        card |= deployment_scores(Classifier.load(source), dataset.val, summary.test)
        card["test"] = {name: list(interval) for name, interval in summary.measured[label].intervals.items()}
        for target in (folder / place for place, chosen in places.items() if chosen == label):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
            replace(target / CARD, (json.dumps(card, indent=2) + "\n").encode())


def deployment_scores(classifier: Classifier, val: Split, test: Split) -> dict[str, Any]:
    """Return a classifier's confidence threshold, and its scores on both splits as ``Deployment`` predicts them.

    ``threshold`` accepts as many validation images as possible while 99 % of the accepted images are correct. It is
    above 1 if no such threshold exists. ``kept`` is the share of accepted images, ``kept_accuracy`` their accuracy.
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
    """Return the lowest threshold whose accepted images have at least this accuracy, else the float above 1.

    An image is accepted if its largest probability reaches the threshold. Probabilities (N, K), labels (N,).
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order]) / np.arange(1, len(order) + 1)
    # A threshold accepts all images of equal confidence, so only the last of them can set it.
    is_last = np.append(np.diff(confidence[order]) < 0, True)
    kept = np.flatnonzero((right >= accuracy) & is_last)
    return float(confidence[order][kept[-1]]) if len(kept) else float(np.nextafter(np.float32(1), np.float32(2)))
