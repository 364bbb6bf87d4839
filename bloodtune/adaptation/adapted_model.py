"""The model of an adaptation: trained on all labelled photographs with the chosen settings, and its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bloodtune.adaptation.choice import Search, Trial
from bloodtune.adaptation.settings import Settings
from bloodtune.data.folds import held_out_split
from bloodtune.data.labelled_folder import LabelledFolder
from bloodtune.files import replace, replace_folder
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.deployment_scores import held_out_distances, judge_deployment
from bloodtune.inference.onnx_export import MODEL_CARD, model_card
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.inference.predictor import Predictor
from bloodtune.run.provenance import describe_data_for_card, git_commit
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.models.ensemble import Ensemble
from bloodtune.training.trainer import Training


@dataclass(frozen=True, eq=False)
class AdaptedModel:
    """A model adapted to labelled photographs.

    ``card`` has the entries of ``model.json`` beside the network. ``trials`` are those of the search, the best first.
    ``distances`` are those that set the guard's limit (``Search.distances``).
    """

    classifier: Classifier
    guard: Guard | None
    card: dict[str, Any]
    trials: Sequence[Trial]
    distances: np.ndarray

    def write(self, folder: Path) -> None:
        """Write the files that a summary writes into ``folder``, and ``MODEL_CARD.md``."""
        files = self.classifier.files(**self.card)
        if self.guard:
            files[GUARD] = self.guard.to_bytes()
        replace_folder(folder, files)
        replace(folder / MODEL_CARD, model_card(Predictor.load(folder)).encode())


def adapt(
    model: Classifier,
    folders: Sequence[LabelledFolder],
    *,
    name: str,
    seed: int,
    advance: Callable[[float], None],
    quick: bool = False,
) -> AdaptedModel:
    """Search the settings, train on all photographs, calibrate on the held-out ones.

    Args:
        model: the trained model; of an ensemble, its first network is adapted.
        folders: the labelled photographs, once per crop.
        name: of the trained model, for the card.
        seed: of folds and trainings.
        advance: called with the share of the training that is done, 0 to 1.
        quick: take the usual settings instead of a search, and train one network.

    Raises:
        InputError: the model cannot be adapted.
    """
    if isinstance(model.network, Ensemble):
        model = dataclasses.replace(model, network=model.network.networks[0])
    search = Search(model, folders, seed, quick=quick)
    search.trained = _Meter(search.images, advance).add
    trials = search.run()
    best = trials[0]
    folder = folders[best.settings.source]
    data = folder.dataset
    classifier = train_on_all(search, best.settings)
    advance(1.0)  # also if fewer epochs than the most were best
    held_out, distances = held_out_split(data.train, data.val, folder.folds(seed)), held_out_distances(best.parts)
    first = len(held_out.labels)
    scores, guard = judge_deployment(
        classifier, data.train, held_out, folder.test, best.probabilities[:first], distances
    )
    parameters = sum(parameter.numel() for parameter in classifier.network.parameters())
    card = {"parameters": parameters, **scores, **_origin(search, trials, name), "data": describe_data_for_card(data)}
    return AdaptedModel(classifier, guard, card, trials, distances)


def _origin(search: Search, trials: Sequence[Trial], name: str) -> dict[str, Any]:
    best = trials[0].settings
    adapted = {
        "model": name,
        "settings": dataclasses.asdict(best) | {"networks": search.networks},
        "trials": [dataclasses.asdict(trial.settings) | {"log_loss": trial.loss} for trial in trials],
    }
    label = f"{name}, adapted to {search.folders[best.source].dataset.title}"
    return {"label": label, "run": None, "git_commit": git_commit(), "seed": search.seed, "adapted": adapted}


@dataclass
class _Meter:
    """Tells the share of the work that is done."""

    total: int
    advance: Callable[[float], None]
    done: int = 0

    def add(self, images: int) -> None:
        self.done += images
        self.advance(min(1.0, self.done / self.total))


def train_on_all(search: Search, settings: Settings) -> Classifier:
    """Train networks on all photographs and return one with the mean of their weights.

    Networks that start from the same weights stay near each other, so that their mean is a network as good as their
    ensemble (Wortsman et al., Model Soups, 2022).
    """
    data = search.folders[settings.source].dataset
    configuration = settings.configuration(search.model.configuration, len(data.train.labels))
    splits, start, networks = DeviceSplits.load(data.train, data.val), search.start(settings), []
    for number in range(search.networks):
        training = Training(
            configuration,
            splits,
            max_epochs=settings.epochs,
            seed=search.seed + number,
            numerics=search.numerics,
            start=start,
            kept=settings.kept,
        )
        for _ in range(settings.epochs):
            training.train_epoch()
            search.trained(len(data.train.labels))
        networks.append(training.network)
    weights = [network.state_dict() for network in networks]
    mean = {name: torch.stack([one[name] for one in weights]).double().mean(0) for name in weights[0]}
    networks[0].load_state_dict(mean)
    return dataclasses.replace(
        search.model,
        network=networks[0],
        configuration=configuration,
        class_names=data.class_names,
        precision=search.numerics.precision,
    )
