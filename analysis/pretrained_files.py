"""Files of the pretrained model: the best network on validation, its card with the scores of all, its licence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from bloodtune.data.dataset import Dataset
from bloodtune.data.medmnist import is_bloodmnist, published_name
from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.default_model import CARD
from bloodtune.inference.deployment_scores import judge_deployment
from bloodtune.inference.onnx_export import MODEL_CARD, model_card
from bloodtune.inference.out_of_distribution import GUARD
from bloodtune.inference.predictor import Predictor
from bloodtune.run.provenance import describe_data_for_card, git_commit
from scores import score_intervals, scores

LICENSE = "LICENSE"
LICENSE_TEXT = """\
The weights of this model are licensed under the Creative Commons Attribution 4.0 International Licence (CC BY 4.0,
https://creativecommons.org/licenses/by/4.0/), as are the images that they were trained on. Whoever shares them cites

Acevedo, Merino, Alférez, Molina, Boldú, Rodellar: A dataset of microscopic peripheral blood cell images for
development of automatic recognition systems. Data in Brief 30 (2020) 105474. https://doi.org/10.17632/snkd93bnjr.1

Yang, Shi, Wei, Liu, Zhao, Ke, Pfister, Ni: MedMNIST v2, a large-scale lightweight benchmark for 2D and 3D biomedical
image classification. Scientific Data 10 (2023) 41.

Changes: the images became the weights of a network.
"""
REBUILT = (
    "The images are those of BloodMNIST, but not their official assignment to training, validation and test (a rebuilt "
    "split): scores are comparable with published ones, and are not the same."
)
SHOWN = ("accuracy", "macro_f1")


def pretrained_files(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    open_test: Callable[[], Split],
    made_with: str,
    say: Callable[[str], None],
) -> dict[str, bytes]:
    """Return the files of a model folder: of networks of one configuration, the one with the best validation macro-F1.

    All networks are scored in half precision, as they are stored, and as a ``Deployment`` predicts. ``open_test``
    returns the test split; it is called after the choice.
    """
    networks = [dataclasses.replace(one, precision="float32").rounded() for one in classifiers]
    deployments = [Deployment(one) for one in networks]
    val = [scores(dataset.val.labels, one.predict(dataset.val.images))["macro_f1"] for one in deployments]
    best = int(np.argmax(val))
    say(f"pretrained: validation macro-F1 of each network: {', '.join(f'{100 * one:.2f} %' for one in val)}")
    test = open_test()
    judged, guard = judge_deployment(networks[best], dataset.train, dataset.val, test)
    card: dict[str, Any] = {
        "label": f"pretrained {networks[best].configuration.family} network",
        "parameters": sum(parameter.numel() for parameter in networks[best].network.parameters()),
        "made_with": made_with,
        "git_commit": git_commit(),
        "data": describe_data_for_card(dataset),
        **terms(dataset),
        **judged,
        **_test_scores(deployments, val, best, test),
    }
    if len(networks) > 1:
        card["choice"] = f"the one with the best validation macro-F1 of {len(networks)} networks of one configuration"
    files = networks[best].files(half=True, **card)
    stored = json.loads(files[CARD])
    names, size, channels = networks[best].class_names, networks[best].size, networks[best].channels
    predictor = Predictor(deployments[best], names, size, channels, card["threshold"], stored, guard)
    files[MODEL_CARD] = model_card(predictor).encode()
    if "licence" in card:
        files[LICENSE] = card["licence"].encode()
    return files | ({GUARD: guard.to_bytes()} if guard else {})


def terms(dataset: Dataset) -> dict[str, str]:
    """Return the entries ``licence`` and ``note`` of a card; for other images than BloodMNIST's there are none."""
    if dataset.synthetic or not is_bloodmnist(dataset.class_names, dataset.split_sizes):
        return {}
    return {"licence": LICENSE_TEXT} | ({} if published_name(dataset.md5) else {"note": REBUILT})


def _test_scores(deployments: Sequence[Deployment], val: Sequence[float], best: int, test: Split) -> dict[str, Any]:
    """Return the entries ``test`` (the chosen network), ``networks``, ``mean`` and ``ensemble`` of the card."""
    generator = np.random.default_rng(0)
    found = [one.predict(test.images) for one in deployments]
    intervals = [score_intervals(test.labels, one, generator) for one in found]
    entries: dict[str, Any] = {"test": {name: list(interval) for name, interval in intervals[best].items()}}
    entries["networks"] = [
        {"val_macro_f1": score, "chosen": index == best} | {name: list(intervals[index][name]) for name in SHOWN}
        for index, score in enumerate(val)
    ]
    if len(found) > 1:
        by_network = {name: np.array([interval[name][0] for interval in intervals]) for name in SHOWN}
        entries["mean"] = {name: mean_interval(values) for name, values in by_network.items()}
        averaged = score_intervals(test.labels, np.mean(found, axis=0), generator)
        entries["ensemble"] = {name: list(averaged[name]) for name in SHOWN}
    return entries


def mean_interval(values: np.ndarray, level: float = 0.95) -> list[float]:
    """Return the mean of the scores (N,) of N > 1 trainings, and the limits of Student's interval over trainings."""
    reach = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return [float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)]
