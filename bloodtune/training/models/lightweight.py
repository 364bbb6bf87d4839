"""The lightweight network of the second paper (Kroumov, section Methods)."""

from __future__ import annotations

from torch import nn

from bloodtune.training.models.cpu_layers import Convolution, Dropout, Flatten, MaxPoolReLU

# Two poolings reduce 28 pixels to 7. Larger images are averaged to the same grid, so that the head keeps its size.
GRID = 7


def lightweight(*, channels: int, classes: int, size: int, width: int, dropout: float) -> nn.Sequential:
    """Build the lightweight CNN: five blocks of 3x3 convolution, batch norm and ReLU, then an MLP head.

    Max-pooling follows the second and the fifth block. Input (N, ``channels``, ``size``, ``size``) with ``size`` >= 4,
    output logits (N, ``classes``). The paper gives no widths. The MedMNIST tutorial that it follows uses ``width`` 16
    (16, 16, 64, 64, 64 channels), a 128-128 head and no dropout.
    """
    layers: list[nn.Module] = []
    for number, outputs in enumerate((width, width, 4 * width, 4 * width, 4 * width), start=1):
        layers += [Convolution(channels, outputs, bias=False), nn.BatchNorm2d(outputs)]
        layers.append(MaxPoolReLU() if number in (2, 5) else nn.ReLU())
        channels = outputs
    if size // 4 != GRID:
        layers.append(nn.AdaptiveAvgPool2d(GRID))
    return nn.Sequential(
        *layers,
        Flatten(),
        *(nn.Linear(channels * GRID**2, 128), nn.ReLU(), Dropout(dropout)),
        *(nn.Linear(128, 128), nn.ReLU(), Dropout(dropout)),
        nn.Linear(128, classes),
    )
