"""The four families of networks; each adapts to channels, classes and image size."""

from __future__ import annotations

import torch
from torch import nn

from bloodtune.space.configuration import Configuration
from bloodtune.training.models.cnn import cnn
from bloodtune.training.models.lightweight import lightweight
from bloodtune.training.models.mlnn import mlnn
from bloodtune.training.models.residual import residual


class Normalization(nn.Module):
    """Take a mean (C,) from (N, C, H, W) pixels of 0 to 255, uint8 or float, and divide by a deviation (C,)."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.view(1, -1, 1, 1).clone())
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1).clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 of the same shape."""
        return (images - self.mean).div_(self.deviation)


def build_network(
    configuration: Configuration, *, size: int, classes: int, mean: torch.Tensor, deviation: torch.Tensor
) -> nn.Sequential:
    """Build the network of a configuration, normalization included.

    Args:
        configuration: names the family and its sizes.
        size: height and width of the images in pixels.
        classes: number of classes.
        mean: mean training pixel of each channel (C,), on the scale 0 to 255; gives the number of channels.
        deviation: standard deviation of each channel (C,), on the same scale.

    Returns:
        A module from pixels (N, C, ``size``, ``size``), 0 to 255, to logits (N, ``classes``).
    """
    channels, dropout = mean.numel(), configuration.dropout
    if configuration.family == "mlnn":
        assert configuration.hidden_layers is not None
        assert configuration.hidden_size is not None
        body = mlnn(
            inputs=channels * size * size,
            classes=classes,
            hidden_layers=configuration.hidden_layers,
            hidden_size=configuration.hidden_size,
            dropout=dropout,
        )
    elif configuration.family == "residual":
        body = residual(channels=channels, classes=classes, width=_width(configuration), dropout=dropout)
    else:
        family = cnn if configuration.family == "cnn" else lightweight
        body = family(channels=channels, classes=classes, size=size, width=_width(configuration), dropout=dropout)
    if configuration.normalization == "minmax":
        mean = deviation = torch.full_like(mean, 255 / 2)
    return nn.Sequential(Normalization(mean, deviation), body)


def _width(configuration: Configuration) -> int:
    assert configuration.width is not None, "checked where the configuration was built"
    return configuration.width
