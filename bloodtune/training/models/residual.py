"""A small residual network for 28-pixel images; its blocks work on 12 and 6 pixels."""

from __future__ import annotations

import torch
from torch import nn

from bloodtune.training.models.cpu_layers import Convolution, Dropout, MaxPoolReLU, MeanPool


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input; shape (N, ``channels``, H, W) in and out.

    The second norm starts at zero, so the block starts as the identity (He et al. 2016; Goyal et al. 2017).
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
        """Return ReLU(``features`` + body(``features``))."""
        changed: torch.Tensor = self.body(features)
        return changed.add_(features).relu_()


def residual(*, channels: int, classes: int, width: int, dropout: float) -> nn.Sequential:
    """Build the residual network: a stage of ``width`` channels, a stage of 3 * ``width``, a linear classifier.

    The stages work at half and at a quarter of the image size. Input (N, ``channels``, H, W) with H, W >= 8, output
    logits (N, ``classes``). Width 32 has 0.22 million parameters.
    """
    # The 6x6 stem has stride 2: a stem at full size takes a third more time per epoch and scores no better. It is
    # unpadded, which leaves 12 of 28 pixels instead of 14: a sixth less time, the same score. Pooling before the
    # convolution between the stages saves three quarters of that convolution's work (docs/experiments.md).
    return nn.Sequential(
        nn.Conv2d(channels, width, 6, stride=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        ResidualBlock(width),
        MaxPoolReLU(),  # its ReLU has no effect here: the block's output is rectified
        *_convolution(width, 3 * width),
        nn.ReLU(inplace=True),
        ResidualBlock(3 * width),
        MeanPool(),
        Dropout(dropout),
        nn.Linear(3 * width, classes),
    )


def _convolution(inputs: int, outputs: int) -> tuple[Convolution, nn.BatchNorm2d]:
    return Convolution(inputs, outputs, bias=False), nn.BatchNorm2d(outputs)
