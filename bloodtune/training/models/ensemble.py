"""Ensemble: networks whose class probabilities are averaged, as one network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


class Ensemble(nn.Module):
    """Networks that take the same images; their logits (N, K) become the logarithm of their mean probabilities."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean probabilities, float32 (N, K), of images (N, C, H, W)."""
        found = torch.stack([network(images).float().log_softmax(1) for network in self.networks])
        return found.logsumexp(0) - math.log(len(self.networks))
