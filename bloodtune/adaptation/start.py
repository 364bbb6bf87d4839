"""Start of an adaptation: the weights of a trained network, for other classes and another stain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from bloodtune.errors import InputError
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.labelled_images import find_class
from bloodtune.space.configuration import Configuration
from bloodtune.training.augmentation import dihedral_views
from bloodtune.training.models import build_network


def starting_weights(
    source: Classifier, configuration: Configuration, class_names: Sequence[str], images: np.ndarray
) -> dict[str, torch.Tensor]:
    """Return weights for ``Training``: those of ``source``, with one row of the last layer per class.

    Classes that the source knows, in the words of ``find_class``, keep their rows; the rows of others are drawn with a
    fixed seed. Batch norm's statistics become those of ``images``, uint8 (N, H, W, C): without that, another stain
    leaves the features that the source learned out of their range (docs/adapt.md).

    Raises:
        InputError: the last layer of the network is not linear.
    """
    known = source.network.state_dict()
    head = _head(source.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(
            configuration,
            size=source.size,
            classes=len(class_names),
            mean=known["0.mean"].flatten(),
            deviation=known["0.deviation"].flatten(),
        )
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rows = [find_class(name, source.class_names) for name in class_names]
    for name, tensor in known.items():
        if not name.startswith(f"{head}."):
            weights[name] = tensor.clone()
            continue
        for new, old in enumerate(rows):
            if old is not None:
                weights[name][new] = tensor[old]
    network.load_state_dict(weights)
    update_bn(dihedral_views(torch.from_numpy(images).permute(0, 3, 1, 2))[:4], network)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _head(network: nn.Module) -> str:
    # The name of the last linear layer. A subclass of Sequential may compute something else.
    if type(network) is nn.Sequential and type(body := network[1]) is nn.Sequential and isinstance(body[-1], nn.Linear):
        return f"1.{len(body) - 1}"
    raise InputError(
        "the model's network has no linear layer at its end, whose rows belong to classes; allowed: networks that end "
        "in one"
    )
