"""Model folders of a summary: weights, and a card with threshold, data and scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bloodtune.data.dataset import Dataset
from bloodtune.data.folds import held_out_split
from bloodtune.files import replace_folder
from bloodtune.inference.classifier import WEIGHTS, Classifier
from bloodtune.inference.default_model import CARD
from bloodtune.inference.deployment_scores import judge_deployment
from bloodtune.inference.out_of_distribution import GUARD
from bloodtune.run.provenance import describe_data_for_card, git_commit
from bloodtune.tuning.retraining_cache import DISTANCES, HELD_OUT
from summary_data import Summary


def write_models(folder: Path, summary: Summary, dataset: Dataset) -> None:
    """Write the chosen model into ``folder/best``, and the best model of each family into ``folder/<family>``.

    Each of these folders is replaced, with all that it held.
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
        held_out = [] if dataset.folds is None else [np.load(source / name) for name in (HELD_OUT, DISTANCES)]
        scores, guard = judge_deployment(Classifier.load(source), dataset.train, val, summary.test, *held_out)
        card |= scores
        card["test"] = {name: list(interval) for name, interval in summary.measured[label].intervals.items()}
        files = {WEIGHTS: (source / WEIGHTS).read_bytes(), CARD: (json.dumps(card, indent=2) + "\n").encode()}
        if guard:
            files[GUARD] = guard.to_bytes()
        for target in (folder / place for place, chosen in places.items() if chosen == label):
            replace_folder(target, files)
