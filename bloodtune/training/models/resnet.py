"""A ResNet for 28-pixel images that keeps their full size in its first stage (He et al. 2016, section 4.2)."""

from __future__ import annotations

import itertools

from torch import nn

from bloodtune.training.models.cpu_layers import Convolution, Dropout, MaxPoolReLU, MeanPool
from bloodtune.training.models.residual import ResidualBlock


def resnet(*, channels: int, classes: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    """Build the ResNet: three stages of ``depth`` blocks with ``width``, 2 and 4 times ``width`` channels.

    The stages work at the size of the image, a half and a quarter of it; their input is pooled and widened by a 3x3
    convolution, where He et al. have a convolution of stride 2. Input (N, ``channels``, H, W) with H, W >= 8, output
    logits (N, ``classes``). Width 32 and depth 1 have 0.48 million parameters.
    """
    widths = [width, 2 * width, 4 * width]
    layers: list[nn.Module] = [*_convolution(channels, width)]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [ResidualBlock(inputs) for _ in range(depth)]
        # The pooling's ReLU has no effect: a block's output is rectified.
        layers += [MaxPoolReLU(), *_convolution(inputs, outputs)]
    layers += [ResidualBlock(widths[-1]) for _ in range(depth)]
    return nn.Sequential(*layers, MeanPool(), Dropout(dropout), nn.Linear(widths[-1], classes))


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return Convolution(inputs, outputs, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
