"""A model of blood cells that never was trained, and photographs that no camera took."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.training.models import build_network
from engine_fixtures import make_configuration

BLOOD = (
    *("basophil", "eosinophil", "erythroblast", "immature granulocyte"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)
SIZE = 28


def make_classifier(family: str = "residual", class_names: tuple[str, ...] = BLOOD, channels: int = 3) -> Classifier:
    """Return a network with random weights, and norms that have seen something."""
    torch.manual_seed(0)
    configuration = make_configuration(family, dihedral=True)
    mean, deviation = torch.full((channels,), 150.0), torch.full((channels,), 40.0)
    network = build_network(configuration, size=SIZE, classes=len(class_names), mean=mean, deviation=deviation)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                values.data.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    last.weight.data.mul_(30)  # so that it is sure of some images
    return Classifier(network, configuration, class_names, SIZE, channels)


def make_model(folder: Path, *, guarded: bool = True, **changes: Any) -> Path:
    """Save such a model as a summary does, with a guard that all images pass, and return its folder."""
    card = {
        "parameters": 1234,
        "threshold": 0.5,
        "label": "search #7",
        "run": "night",
        "git_commit": "0123456789abcdef",
        "data": {
            "title": "bloodmnist",
            "md5": "0" * 32,
            "synthetic": False,
            "split_sizes": {"train": 11959, "val": 1712, "test": 3421},
        },
        "used_val": {"accuracy": 0.981, "macro_f1": 0.978, "kept": 0.97, "kept_accuracy": 0.99},
        "used_test": {"accuracy": 0.975, "macro_f1": 0.973, "kept": 0.965, "kept_accuracy": 0.988},
    }
    described = {name: changes.pop(name) for name in list(changes) if name in card}
    classifier = make_classifier(**changes)
    classifier.save(folder, **{name: v for name, v in (card | described).items() if v is not None})
    if guarded:
        features = Deployment(classifier).features
        guard = Guard(np.zeros((1, features), np.float32), np.eye(features, dtype=np.float32), float("inf"))
        (folder / GUARD).write_bytes(guard.to_bytes())
    return folder


def draw_tiles(count: int, seed: int = 0) -> np.ndarray:
    """Return uint8 (N, 28, 28, 3): blobs of colour, large enough to outlive a JPEG file."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(7, axis=1).repeat(7, axis=2)


def photograph(file: Path, seed: int = 0, size: tuple[int, int] = (360, 363)) -> Path:
    """Write a smear crop, as large as those of the laboratory."""
    image = Image.fromarray(draw_tiles(1, seed)[0]).resize(size, Image.Resampling.BICUBIC)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
    return file
