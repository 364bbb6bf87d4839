"""Heat maps of a network's answers: the pixels that spoke for a class, from one backward pass, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bloodtune.training.models.ensemble import Ensemble

_BATCH_PIXELS = 64 * 28 * 28  # every layer's output of a batch is in memory

# From dark to bright like matplotlib's inferno, whose order survives grey print and every colour blindness.
_HEAT = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLOURS = np.array([[22, 11, 57], [87, 16, 110], [188, 55, 84], [249, 142, 9], [246, 215, 70]])

_SIDE = 96  # pixels; pictures are made smaller by a whole factor, so that the page of large images stays small


def heat_pictures(network: nn.Module, images: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
    """Return the heat maps of images as pictures, uint8 (H, W, 3); the arguments are those of ``heat_maps``.

    A picture has the size of its image if that is below 192 pixels.
    """
    step = max(1, images.shape[1] // _SIDE)
    pairs = zip(images, heat_maps(network, images, classes), strict=True)
    return [overlay(image[::step, ::step], heat[::step, ::step]) for image, heat in pairs]


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return the colours of ``heat`` (H, W), 0 to 1, as uint8 (H, W, 3), darker where the image (H, W, C) is dark."""
    grey = image.mean(axis=2) / 255
    colours = np.stack([np.interp(heat, _HEAT, channel) for channel in _COLOURS.T], axis=2)
    return np.asarray((colours * (0.5 + 0.5 * grey[..., None])).round().astype(np.uint8))


def heat_maps(network: nn.Module, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return heat maps: the pixels that speak for a given class of each image.

    A map is the positive part of gradient times value, summed over the channels, of the last features with the height
    and width of the last convolution's output (HiResCAM: Draelos and Carin, 2020), enlarged to the image. A network
    without convolutions, or with an output of 1 x 1 from each, gets the size of the gradient at each pixel. Each map is
    divided by its maximum; it is zero if nothing speaks for the class. The map of an ``Ensemble`` is the mean of its
    networks' maps, divided by its own maximum. Mode, weights and gradients of the network stay as they are.

    Args:
        network: from pixels (N, C, H, W), 0 to 255, to logits (N, K).
        images: uint8 (N, H, W, C), each seen once, as it is.
        classes: integers (N,) below K.

    Returns:
        float32 (N, H, W), 0 to 1.
    """
    device = next(network.parameters()).device
    members = next((list(one.networks) for one in network.modules() if isinstance(one, Ensemble)), [network])
    is_training = network.training
    network.eval()
    maps = [np.zeros((0, *images.shape[1:3]), np.float32)]
    try:
        batch = max(1, _BATCH_PIXELS // math.prod(images.shape[1:3]))
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.array(images[start : start + batch])).to(device).permute(0, 3, 1, 2).float()
            chosen = torch.from_numpy(classes[start : start + batch].astype(np.int64)).to(device)
            mean = torch.stack([_explain(member, pixels, chosen) for member in members]).mean(0)
            maps.append(_divide_by_maximum(mean).cpu().numpy())
    finally:
        network.train(is_training)
    return np.concatenate(maps)


def _explain(network: nn.Module, pixels: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    pixels.requires_grad_()
    with torch.enable_grad(), _recorded(network) as outputs:
        score = network(pixels).gather(1, classes.unsqueeze(1)).sum()
    sizes = [output.shape[2:] for module, output in outputs if isinstance(module, nn.Conv2d)]
    features = [output for _, output in outputs if output.shape[2:] == sizes[-1]][-1:] if sizes else []
    gradients: Sequence[torch.Tensor | None] = (None, None)
    if score.requires_grad:
        gradients = torch.autograd.grad(score, [*features, pixels], allow_unused=True)
    if features and gradients[0] is not None:
        heat = (features[0] * gradients[0]).sum(1, keepdim=True).relu()
        heat = functional.interpolate(heat, pixels.shape[2:], mode="bilinear")
    elif gradients[-1] is not None:
        heat = gradients[-1].abs().sum(1, keepdim=True)
    else:
        heat = torch.zeros_like(pixels[:, :1])
    return _divide_by_maximum(heat.detach().squeeze(1))


def _divide_by_maximum(heat: torch.Tensor) -> torch.Tensor:
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)


@contextmanager
def _recorded(network: nn.Module) -> Iterator[list[tuple[nn.Module, torch.Tensor]]]:
    """Give a list that receives each layer's output (N, C, H, W) of more than one row and column, in order."""
    outputs: list[tuple[nn.Module, torch.Tensor]] = []

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            outputs.append((module, output))

    hooks = [module.register_forward_hook(record) for module in network.modules()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
