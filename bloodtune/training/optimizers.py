"""Optimisers, learning-rate schedules and the moving average of weights (EMA)."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from bloodtune.space.configuration import Configuration

# Share of the steps in which one-cycle rises: 1.4 of 36 epochs, so that the first rung comes near the peak rate.
RISE = 0.04


def build_optimizer(configuration: Configuration, network: nn.Module, *, fused: bool = True) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration; weight decay applies to matrices and filters, not to biases and norms.

    ``fused`` selects PyTorch's kernels that update a weight in one pass; otherwise PyTorch chooses the kernels.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
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
    # Capturable: the step count is a tensor on the GPU, which a recorded step can increment.
    return adam(groups, lr=configuration.learning_rate, fused=fused or None, capturable=parameters[0].is_cuda)


def schedule_factor(schedule: str, progress: float) -> float:
    """Return the learning rate as a share of its peak; ``progress`` is the share of the planned steps, 0 to 1.

    ``cosine`` falls from the start (Loshchilov & Hutter 2017, without restarts). ``one_cycle`` rises linearly from 0.1
    over the first 4 % of the steps, then falls linearly to 0 (after Smith & Topin 2019, with constant momentum).
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "one_cycle":
        if progress < RISE:
            return 0.1 + 0.9 * progress / RISE
        return (1 - progress) / (1 - RISE)
    return 1.0


class WeightAverage:
    """A moving average of a network's weights over a fixed share of the steps so far.

    The window grows with the training, so the average is as useful at a rung in epoch 3 as at the end. An average with
    a fixed rate is not. (Power-function average; Karras et al. 2024, section 3.1.)
    """

    def __init__(self, network: nn.Module, window: float) -> None:
        """Start from ``network``; ``window``, above 0, is the share of the past steps to average over."""
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._window = window
        self._targets, self._sources = _floating(self.network), _floating(network)

    def share(self, step: int) -> float:
        """Return the weight of the network after ``step`` steps (from 1) in the average, 0 to 1."""
        return min(1.0, 1 / (self._window * step))

    @torch.no_grad()
    def update(self, share: float | torch.Tensor) -> None:
        """Add the network's current weights and norm statistics to the average, after an optimiser's step.

        ``share`` is the step's weight in the average. A recorded step needs it as a tensor on the weights' device, so
        that each replay can use another value.
        """
        if isinstance(share, torch.Tensor):
            # No public function takes such a tensor for all weights at once. Lerp on each weight would launch 34
            # kernels per step of the residual network instead of 3.
            changes = torch._foreach_sub(self._sources, self._targets)
            torch._foreach_mul_(changes, share)
            torch._foreach_add_(self._targets, changes)
        else:
            # AveragedModel of torch.optim.swa_utils gives the same in 0.5 ms per step; this loop takes 0.1 ms.
            for target, source in zip(self._targets, self._sources, strict=True):
                target.lerp_(source, share)


def _floating(network: nn.Module) -> list[torch.Tensor]:
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
