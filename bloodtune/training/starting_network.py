"""The network that a training starts from: drawn, or with given weights and some first layers kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.models import build_network


def build_starting_network(
    configuration: Configuration,
    splits: DeviceSplits,
    start: Mapping[str, torch.Tensor] | None = None,
    kept: int = 0,
) -> nn.Sequential:
    """Build the network of a configuration for the images of ``splits``, on their device.

    ``Training`` describes ``start`` and ``kept``.

    Raises:
        RuntimeError: the weights ``start`` do not fit the configuration.
    """
    network = build_network(
        configuration,
        size=splits.train_images.shape[1],
        classes=len(splits.class_counts),
        mean=splits.mean,
        deviation=splits.deviation,
    ).to(splits.device)
    if start is not None:
        network.load_state_dict(start)
    for layer in weighted_layers(network)[:kept]:
        layer.requires_grad_(False)
    return network


def weighted_layers(network: nn.Sequential) -> list[nn.Module]:
    """Return the layers and blocks of a network of ``build_network`` that have weights, the first one first."""
    body = network[1]
    layers = body if type(body) is nn.Sequential else [body]
    return [layer for layer in layers if any(True for _ in layer.parameters())]
