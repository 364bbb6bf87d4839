"""The multi-layer neural network of the first paper (Trindade, section 3.1)."""

from __future__ import annotations

from torch import nn

from bloodtune.training.models.cpu_layers import Dropout, Flatten


def mlnn(
    *, channels: int, classes: int, size: int, hidden_layers: int, hidden_size: int, dropout: float
) -> nn.Sequential:
    """Build the MLNN: ``hidden_layers`` blocks of linear layer, ReLU and dropout, then a linear classifier.

    Input (N, ``channels``, ``size``, ``size``), output logits (N, ``classes``). The paper uses 2 layers of 1,180 units
    (the mean of the numbers of inputs and outputs) and dropout 0.2.
    """
    inputs = channels * size * size
    layers: list[nn.Module] = [Flatten()]
    for _ in range(hidden_layers):
        layers += [nn.Linear(inputs, hidden_size), nn.ReLU(), Dropout(dropout)]
        inputs = hidden_size
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
