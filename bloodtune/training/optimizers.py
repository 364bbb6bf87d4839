"""Optimisers, learning-rate schedules and the averaging of weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from bloodtune.space.configuration import Configuration
from bloodtune.training.process import defer_dynamo

# Share of the steps in which one-cycle rises: about one of 27 epochs, so that the first rung sees it at its peak.
RISE = 0.04


def build_optimizer(configuration: Configuration, network: nn.Module, *, fused: bool = True) -> torch.optim.Optimizer:
    """Return the optimiser; weight decay applies to matrices and filters, not to biases and norms.

    ``fused`` takes PyTorch's kernel that updates a weight in one pass; without it PyTorch chooses.
    """
    defer_dynamo()
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": configuration.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if configuration.optimizer == "sgd":
        assert configuration.momentum is not None
        return torch.optim.SGD(
            groups,
            lr=configuration.learning_rate,
            momentum=configuration.momentum,
            nesterov=bool(configuration.nesterov),
            fused=fused or None,
        )
    adam = torch.optim.Adam if configuration.optimizer == "adam" else torch.optim.AdamW
    # Capturable: the count of its steps is on the GPU, where a recorded step can raise it.
    return adam(groups, lr=configuration.learning_rate, fused=fused or None, capturable=parameters[0].is_cuda)


def schedule_factor(schedule: str, progress: float) -> float:
    """Return the learning rate as a share of its peak, at ``progress`` 0 to 1 through all planned steps.

    ``cosine`` falls from the start (Loshchilov & Hutter 2017, without restarts); ``one_cycle`` rises linearly over
    the first 4 % of the steps from 0.1 and falls linearly to 0 (after Smith & Topin 2019, momentum kept constant).
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "one_cycle":
        if progress < RISE:
            return 0.1 + 0.9 * progress / RISE
        return (1 - progress) / (1 - RISE)
    return 1.0


class WeightAverage:
    """A moving average of a network's weights whose window is a fixed share of the steps taken so far.

    Because the window grows with the training, the average is as good for a rung at epoch 3 as at the end, which
    one with a fixed rate is not (a power-function average; Karras et al. 2024, section 3.1).
    """

    def __init__(self, network: nn.Module, window: float) -> None:
        """Start from ``network``; ``window`` is the share of past steps to average over, above 0."""
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._window = window
        self._targets, self._sources = _floating(self.network), _floating(network)

    def share(self, step: int) -> float:
        """Return the share that the weights after ``step`` steps, counted from 1, get in the average."""
        return min(1.0, 1 / (self._window * step))

    @torch.no_grad()
    def update(self, share: float | torch.Tensor) -> None:
        """Take in the weights, and the statistics of the norms, as they are after an optimiser's step.

        ``share`` is that of the step; as a tensor on the weights' device it can be another one at each replay of a
        recorded step.
        """
        if isinstance(share, torch.Tensor):
            # As lerp takes no such tensor for all, it would be a kernel for each weight.
            changes = torch._foreach_sub(self._sources, self._targets)
            torch._foreach_mul_(changes, share)
            torch._foreach_add_(self._targets, changes)
        else:
            torch._foreach_lerp_(self._targets, self._sources, share)


def _floating(network: nn.Module) -> list[torch.Tensor]:
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
