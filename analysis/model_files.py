"""Model folders of a summary: weights, and a card with threshold, data and scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bloodtune.data.dataset import Dataset
from bloodtune.data.npz import Split
from bloodtune.files import replace
from bloodtune.inference.classifier import CARD, WEIGHTS, Classifier
from bloodtune.inference.confidence import keep_threshold, kept_scores
from bloodtune.inference.predictor import Deployment
from bloodtune.run.provenance import describe_data_for_card, git_commit
from summary import Summary


def write_models(folder: Path, summary: Summary, dataset: Dataset) -> None:
    """Write the chosen model into ``folder/best``, and the best model of each family into ``folder/<family>``.

    The model of a configuration is the seed that is median on validation.
    """
    places = {**summary.choices.by_family, "best": summary.choices.best}
    data = describe_data_for_card(dataset)
    for label in dict.fromkeys(places.values()):
        contender = summary.contenders[label]
        source = contender.retrainings[contender.median].model
        card = json.loads((source / CARD).read_text(encoding="utf-8"))
        card |= {"label": label, "run": summary.search.name, "git_commit": git_commit(), "data": data}
        if summary.choices.small and label == summary.choices.best:
            card["choice"] = summary.choices.small.reason(contender)
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
    truth = {"val": val.labels, "test": test.labels}
    threshold = keep_threshold(probabilities["val"], val.labels)
    scores = {name: kept_scores(probabilities[name], labels, threshold) for name, labels in truth.items()}
    return {"threshold": threshold, "used_val": scores["val"], "used_test": scores["test"]}
