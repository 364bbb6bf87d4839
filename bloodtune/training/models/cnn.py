"""The convolutional network of the first paper (Trindade, section 3.2)."""

from __future__ import annotations

from torch import nn

from bloodtune.training.models.cpu_layers import Convolution, Dropout, Flatten, MaxPoolReLU

# Three poolings reduce 28 pixels to 3. Larger images are averaged to the same grid, so that the head keeps its size.
GRID = 3


def cnn(*, channels: int, classes: int, size: int, width: int, dropout: float) -> nn.Sequential:
    """Build the CNN: three blocks of 3x3 convolution, ReLU and 2x2 max-pool, then linear layers 256, 128, ``classes``.

    Input (N, ``channels``, ``size``, ``size``) with ``size`` >= 8, output logits (N, ``classes``). The paper uses
    ``width`` 32 (32, 64 and 128 channels) and dropout 0.2. It does not say where dropout is applied; here it follows
    both hidden layers.
    """
    layers: list[nn.Module] = []
    for outputs in (width, 2 * width, 4 * width):
        layers += [Convolution(channels, outputs), MaxPoolReLU()]
        channels = outputs
    if size // 8 != GRID:  # at 28 pixels it changes nothing, but takes 7 % of a step
        layers.append(nn.AdaptiveAvgPool2d(GRID))
    return nn.Sequential(
        *layers,
        Flatten(),
        *(nn.Linear(channels * GRID**2, 256), nn.ReLU(), Dropout(dropout)),
        *(nn.Linear(256, 128), nn.ReLU(), Dropout(dropout)),
        nn.Linear(128, classes),
    )
