"""A small residual network for 28-pixel cells: all of its work is done at 12 and 6 pixels."""

from __future__ import annotations

import torch
from torch import nn

from bloodtune.training.models.layers import Convolution, Dropout, MaxPoolReLU, MeanPool


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input; (N, ``channels``, H, W) to the same.

    The second norm starts at zero, so that the block starts as the identity (He et al. 2016; Goyal et al. 2017).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add the block's change to ``features`` and rectify."""
        changed: torch.Tensor = self.body(features)
        return changed.add_(features).relu_()


def residual(*, channels: int, classes: int, width: int, dropout: float) -> nn.Sequential:
    """A stage of ``width`` channels at half the size, one of three times as many at a quarter, a linear classifier.

    Takes (N, ``channels``, H, W) with H, W >= 8, gives logits (N, ``classes``). Width 32 has 0.22 million parameters.
    """
    # The 6x6 stride-2 stem is a 3x3 one on 2x2 blocks of pixels: one at full size costs a third more time an epoch
    # and was no better. Unpadded it leaves 12 pixels of 28, not 14, for a sixth less time and the same score. Pooling
    # first leaves the second convolution a quarter of the work (docs/experiments.md).
    return nn.Sequential(
        nn.Conv2d(channels, width, 6, stride=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        ResidualBlock(width),
        MaxPoolReLU(),  # of numbers that are rectified already
        *_convolution(width, 3 * width),
        nn.ReLU(inplace=True),
        ResidualBlock(3 * width),
        MeanPool(),
        Dropout(dropout),
        nn.Linear(3 * width, classes),
    )


def _convolution(inputs: int, outputs: int) -> tuple[Convolution, nn.BatchNorm2d]:
    return Convolution(inputs, outputs, bias=False), nn.BatchNorm2d(outputs)
