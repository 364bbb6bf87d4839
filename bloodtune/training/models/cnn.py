"""The convolutional network of the first paper (Trindade, section 3.2)."""

from __future__ import annotations

from torch import nn

from bloodtune.training.models.layers import Convolution, Dropout, Flatten, MaxPoolReLU

# Three poolings take 28 pixels to 3; larger images are averaged to as many, so that the head keeps its size.
GRID = 3


def cnn(*, channels: int, classes: int, size: int, width: int, dropout: float) -> nn.Sequential:
    """Three times 3x3 convolution, ReLU and 2x2 max-pool, then linear layers of 256, 128 and ``classes``.

    Takes (N, ``channels``, ``size``, ``size``) with ``size`` >= 8, gives logits (N, ``classes``). Published: ``width``
    32 (32, 64 and 128 channels), dropout 0.2, whose place the paper leaves open; here it follows both hidden layers.
    """
    layers: list[nn.Module] = []
    for outputs in (width, 2 * width, 4 * width):
        layers += [Convolution(channels, outputs), MaxPoolReLU()]
        channels = outputs
    if size // 8 != GRID:  # at 28 pixels it would change nothing, and its backward pass takes 7 % of a step
        layers.append(nn.AdaptiveAvgPool2d(GRID))
    return nn.Sequential(
        *layers,
        Flatten(),
        *(nn.Linear(channels * GRID**2, 256), nn.ReLU(), Dropout(dropout)),
        *(nn.Linear(256, 128), nn.ReLU(), Dropout(dropout)),
        nn.Linear(128, classes),
    )
