"""Batched prediction of class probabilities, averaged over test-time views."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from bloodtune.space.configuration import Configuration
from bloodtune.training.augmentation import prediction_views
from bloodtune.training.numerics import FLOAT32, Numerics

# Images of 28 x 28 pixels per batch for validation and prediction; of larger images a CPU takes fewer. Larger batches
# are slower on a CPU, because the activations no longer fit its cache. On a GPU kernel launches dominate, so its
# batches have as many pixels as 1,024 images of BloodMNIST.
VALIDATION_BATCH = 256
_VALIDATION_PIXELS = 1024 * 28 * 28


@torch.no_grad()
def predict(
    network: nn.Module,
    images: torch.Tensor,
    configuration: Configuration | None = None,
    views: Callable[[torch.Tensor, Configuration], list[torch.Tensor]] = prediction_views,
    numerics: Numerics = FLOAT32,
) -> torch.Tensor:
    """Return class probabilities, float32 (N, K), of uint8 images (N, H, W, C) on the network's device.

    If ``configuration`` is given (the one that the network was trained with), the result is the mean over the images'
    ``views`` for it; otherwise each image is predicted once, as it is.
    """
    network.eval()
    batches = []
    pixels_per_image = math.prod(images.shape[1:3])
    if images.is_cuda:
        size = max(VALIDATION_BATCH, _VALIDATION_PIXELS // pixels_per_image)
    else:
        size = min(VALIDATION_BATCH, max(1, VALIDATION_BATCH * 28 * 28 // pixels_per_image))
    for batch in torch.split(images, size):
        pixels = batch.permute(0, 3, 1, 2)
        seen = views(pixels, configuration) if configuration else [pixels]
        with numerics.autocast(images.device):
            logits = [network(view) for view in seen]
        batches.append(torch.stack([one.float().softmax(1) for one in logits]).mean(0))
    return torch.cat(batches)
