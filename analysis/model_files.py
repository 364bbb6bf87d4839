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
from bloodtune.inference.classifier import CARD, WEIGHTS, Classifier
from bloodtune.inference.confidence import keep_threshold, kept_scores
from bloodtune.inference.predictor import Deployment
from bloodtune.run.provenance import describe_data_for_card, git_commit
from bloodtune.tuning.retraining_cache import HELD_OUT
from summary import Summary


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
        card |= deployment_scores(Classifier.load(source), val, summary.test, held_out)
        card["test"] = {name: list(interval) for name, interval in summary.measured[label].intervals.items()}
        for target in (folder / place for place, chosen in places.items() if chosen == label):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / WEIGHTS, target / WEIGHTS)
            replace(target / CARD, (json.dumps(card, indent=2) + "\n").encode())


def deployment_scores(
    classifier: Classifier, val: Split, test: Split, held_out: np.ndarray | None = None
) -> dict[str, Any]:
    """Return a classifier's confidence threshold, and its scores on both splits as ``Deployment`` predicts them.

    ``threshold`` accepts as many validation images as possible while 99 % of the accepted images are correct. It is
    above 1 if no such threshold exists. With folds, ``val`` are all held-out images, and ``held_out`` their
    probabilities (N, K) by the networks of the folds. ``kept`` is the share of accepted images, ``kept_accuracy`` their
    accuracy.
    """
    deployment = Deployment(classifier)
    found = deployment.predict(val.images) if held_out is None else held_out
    probabilities = {"val": found, "test": deployment.predict(test.images)}
    truth = {"val": val.labels, "test": test.labels}
    threshold = keep_threshold(probabilities["val"], val.labels)
    scores = {name: kept_scores(probabilities[name], labels, threshold) for name, labels in truth.items()}
    return {"threshold": threshold, "used_val": scores["val"], "used_test": scores["test"]}
