"""Classification losses: cross-entropy, class-weighted, label-smoothed, focal, and distillation from a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from bloodtune.space.configuration import Configuration

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Images (B, C, H, W) as pixels of 0 to 255 to class probabilities (B, K).
Teacher = Callable[[torch.Tensor], torch.Tensor]

# The weight of the teacher in the loss; the labels have the rest.
TEACHER_WEIGHT = 0.9


def build_loss(configuration: Configuration, class_counts: torch.Tensor) -> Loss:
    """Return the mean loss over a batch as a function of logits (N, K) and labels (N,).

    ``cross_entropy`` on logits equals ``nll`` on log-softmax; the first paper lists both names.
    ``weighted_cross_entropy`` weights each class by the inverse of its number of training images (``class_counts``,
    shape (K,)); the weights average 1 over the images. ``focal`` multiplies the cross-entropy by (1 - p)^gamma
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
    # The clamp avoids infinity times zero in the gradient where p rounds to 1 and gamma is below 1.
    one_minus_p = (-torch.expm1(-entropy)).clamp_min(1e-12)
    return (one_minus_p**gamma * entropy).mean()


def distillation(loss: torch.Tensor, logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Return the loss of a student: ``loss`` on the labels, mixed with the divergence from the teacher.

    The divergence is Kullback-Leibler's, from the teacher's probabilities ``taught`` (N, K) to those of ``logits``
    (N, K), at temperature 1. The teacher must have seen the same augmented images (Beyer et al. 2022, "a good teacher
    is patient and consistent").
    """
    divergence = functional.kl_div(functional.log_softmax(logits, dim=1), taught, reduction="batchmean")
    return (1 - TEACHER_WEIGHT) * loss + TEACHER_WEIGHT * divergence
