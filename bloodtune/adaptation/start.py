"""Start of an adaptation: the weights of a trained network, for other classes and another stain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bloodtune.errors import InputError
from bloodtune.inference.class_names import find_class
from bloodtune.inference.classifier import Classifier
from bloodtune.space.configuration import Configuration
from bloodtune.training.models import build_network


def starting_weights(
    model: Classifier, configuration: Configuration, class_names: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return weights for ``Training``: those of ``model``, with one row of the last layer per class.

    Classes that the model knows, in the words of ``find_class``, keep their rows; the rows of others are drawn with a
    fixed seed. Batch norm's statistics need no change here: a training of 40 steps replaces them.

    Raises:
        InputError: the last layer of the network is not linear.
    """
    head, placeholder = _head(model.network), torch.ones(model.channels)
    sizes: dict[str, Any] = {
        "size": model.size,
        "classes": len(class_names),
        "mean": placeholder,
        "deviation": placeholder,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = build_network(configuration, **sizes).state_dict()
    rows = [find_class(name, model.class_names) for name in class_names]
    for name, tensor in model.network.state_dict().items():
        if not name.startswith(head):
            weights[name] = tensor.clone()
            continue
        for new, old in enumerate(rows):
            if old is not None:
                weights[name][new] = tensor[old]
    return weights


def _head(network: nn.Module) -> str:
    # What the names of the last layer's weights begin with. A subclass of Sequential may compute something else.
    if type(network) is nn.Sequential and type(body := network[1]) is nn.Sequential and isinstance(body[-1], nn.Linear):
        return f"1.{len(body) - 1}."
    raise InputError(
        "the model's network has no linear layer at its end, whose rows belong to classes; allowed: networks that end "
        "in one"
    )
