"""The lightweight network of the second paper (Kroumov, section Methods)."""

from __future__ import annotations

from torch import nn

from bloodtune.training.models.layers import Convolution, Dropout, Flatten, MaxPoolReLU

# Two poolings take 28 pixels to 7; larger images are averaged to as many, so that the head keeps its size.
GRID = 7


def lightweight(*, channels: int, classes: int, size: int, width: int, dropout: float) -> nn.Sequential:
    """Five times 3x3 convolution, batch norm and ReLU, max-pool after the second and fifth, then an MLP head.

    Takes (N, ``channels``, ``size``, ``size``) with ``size`` >= 4, gives logits (N, ``classes``). The paper gives no
    widths; the MedMNIST tutorial that it follows has ``width`` 16 (16, 16, 64, 64, 64 channels), a 128-128 head and
    no dropout.
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
