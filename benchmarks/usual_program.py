"""A usual Ray Tune program, the baseline of `throughput.py`; it uses nothing of bloodtune.

It follows the public examples of Ray Tune (a function that trains and reports, one process per trial) and of MedMNIST
(a Dataset of PIL images with a transform per image, a DataLoader), in float32 with PyTorch's defaults. ToTensor and
Normalize are written out, because torchvision does not import beside a CPU build of torch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from PIL import Image
from ray import tune
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, Dataset


class BloodCells(Dataset):
    """One split of a MedMNIST file; like MedMNIST's own class, an item is a transformed PIL image and its label."""

    def __init__(self, file: str, split: str, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        with np.load(file) as arrays:
            self.images, self.labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index][0])


def transform(image: Image.Image) -> torch.Tensor:
    """Apply ToTensor and Normalize(mean=[.5], std=[.5]), as in MedMNIST's example."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return tensor.float().div(255).sub_(0.5).div_(0.5)


class Network(nn.Module):
    """The CNN of Trindade, section 3.2."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(128, 8),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(images))
        return logits


def train(config: dict[str, Any]) -> None:
    """Train, and report once per epoch."""
    config = config["configuration"]
    torch.manual_seed(0)
    batch_size = config["batch_size"]
    train_loader = DataLoader(BloodCells(config["file"], "train", transform), batch_size, shuffle=True)
    val_loader = DataLoader(BloodCells(config["file"], "val", transform), batch_size)
    network = Network(config["dropout"])
    optimizer: torch.optim.Optimizer
    if config["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), lr=config["learning_rate"], momentum=config["momentum"])
    else:
        optimizer = torch.optim.Adam(network.parameters(), lr=config["learning_rate"])
    loss_function = nn.CrossEntropyLoss()
    for _ in range(config["epochs"]):
        network.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = loss_function(network(images), labels)
            loss.backward()
            optimizer.step()
        network.eval()
        predicted, actual = [], []
        with torch.no_grad():
            for images, labels in val_loader:
                predicted += network(images).argmax(1).tolist()
                actual += labels.tolist()
        tune.report({"val_macro_f1": f1_score(actual, predicted, average="macro")})


def main() -> None:
    """Run all configurations of a JSON file, one CPU each, and write their last scores to another file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("configurations", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    ray.init("local", num_cpus=arguments.workers, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        run_config=tune.RunConfig(storage_path=str(arguments.scores.resolve().parent / "ray")),
        param_space={"configuration": tune.grid_search(json.loads(arguments.configurations.read_text()))},
    )
    scores = [result.metrics["val_macro_f1"] for result in tuner.fit()]
    arguments.scores.write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
