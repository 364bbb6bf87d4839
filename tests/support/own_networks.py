"""A network of a user's own, as a recipe names it: ``own_networks:small``; the functions below it are broken ones."""

from typing import Any

import torch
from torch import nn


def small(*, channels: int, classes: int, width: int, dropout: float) -> nn.Module:
    """Return a small convolutional network."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, classes),
    )


def any_options(**options: Any) -> nn.Module:
    """Return a network that holds the options that it was called with."""
    network = small(channels=options["channels"], classes=options["classes"], width=4, dropout=0.0)
    network.options = options  # type: ignore[assignment]
    return network


def fixed(channels: int, classes: int) -> nn.Module:
    """Return a network that takes no hyperparameter."""
    return small(channels=channels, classes=classes, width=4, dropout=0.0)


def raising(channels: int) -> nn.Module:
    raise ValueError(f"no network\nof {channels} channels")


def no_module(channels: int) -> str:
    return "network"


def ten_classes(channels: int) -> nn.Module:
    return small(channels=channels, classes=10, width=4, dropout=0.0)


def grey(classes: int) -> nn.Module:
    return small(channels=1, classes=classes, width=4, dropout=0.0)


class Untrained(nn.Module):
    """A network without parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.new_zeros(len(images), self.classes)


NUMBER = 3
