"""The losses that a search may choose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from bloodtune.space.configuration import Configuration

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(configuration: Configuration, class_counts: torch.Tensor) -> Loss:
    """Return the mean loss over a batch as a function of logits (N, K) and labels (N,).

    ``cross_entropy`` on logits and ``nll`` on log-softmax are one function; the first paper lists both.
    ``weighted_cross_entropy`` weighs a class by the inverse of its count in the training split ((K,),
    ``class_counts``), with mean 1 over the images. ``focal`` is (1 - p)^gamma times the cross-entropy
    (Lin et al. 2017, equation 4, without alpha).
    """
    if configuration.loss == "nll":
        return _negative_log_likelihood
    if configuration.loss == "weighted_cross_entropy":
        weights = class_counts.sum() / (len(class_counts) * class_counts.float())
        return lambda logits, labels: functional.cross_entropy(logits, labels, weight=weights)
    if configuration.loss == "focal":
        gamma = configuration.focal_gamma
        assert gamma is not None
        return lambda logits, labels: _focal(logits, labels, gamma)
    smoothing = configuration.label_smoothing or 0.0
    return lambda logits, labels: functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def _negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(functional.log_softmax(logits, dim=1), labels)


def _focal(logits: torch.Tensor, labels: torch.Tensor, gamma: float) -> torch.Tensor:
    entropy = functional.cross_entropy(logits, labels, reduction="none")
    # Where p rounds to 1, a gamma below 1 would give an infinite slope times zero.
    doubt = (-torch.expm1(-entropy)).clamp_min(1e-12)
    return (doubt**gamma * entropy).mean()
