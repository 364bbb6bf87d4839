"""Networks of all families, built by name; each adapts to channels, classes and image size."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from bloodtune.errors import InputError, describe
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import SHAPE_FIELDS, is_own
from bloodtune.training.models.user_networks import call_own, load_builder, takes


class Normalization(nn.Module):
    """Take a mean (C,) from (N, C, H, W) pixels of 0 to 255, uint8 or float, and divide by a deviation (C,)."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.view(1, -1, 1, 1).clone())
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1).clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 of the same shape."""
        return (images - self.mean).div_(self.deviation)


class StainNormalization(Normalization):
    """Give the densities of each image the mean and deviation of the training images, then normalize it.

    Source: Reinhard et al., Color Transfer between Images (2001), here on the optical densities of the channels, which
    the dyes add to. The densities of the training images are approximated from ``mean`` and ``deviation``.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 of the same shape."""
        density = -torch.log((images + 1.0) / 256.0)
        centred = density - density.mean((2, 3), keepdim=True)
        spread = centred.square().mean((2, 3), keepdim=True).clamp_min(1e-6).sqrt()
        relative = self.deviation / self.mean.clamp_min(1.0)
        wanted = relative.square() / 2 - torch.log((self.mean + 1.0) / 256.0)
        density = centred / spread * relative + wanted
        return super().forward((torch.exp(-density) * 256.0 - 1.0).clamp(0, 255))


class ImageNormalization(nn.Module):
    """Standardize each channel of each image, pixels (N, C, H, W) of 0 to 255, by its own mean and deviation."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 of the same shape; a deviation below one grey level counts as one."""
        pixels = images.float()
        centred = pixels - pixels.mean((2, 3), keepdim=True)
        return centred.div_(centred.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1))


def build_network(
    configuration: Configuration, *, size: int, classes: int, mean: torch.Tensor, deviation: torch.Tensor
) -> nn.Sequential:
    """Build the network of a configuration, normalization included.

    Args:
        configuration: names the family and its sizes.
        size: height and width of the images in pixels.
        classes: number of classes.
        mean: mean training pixel of each channel (C,), on the scale 0 to 255; gives the number of channels.
        deviation: standard deviation of each channel (C,), on the same scale.

    Returns:
        A module from pixels (N, C, ``size``, ``size``), 0 to 255, to logits (N, ``classes``).

    Raises:
        InputError: the family is ``package.module:function``, and its function cannot be imported or called.
    """
    body = _build_body(configuration, channels=mean.numel(), classes=classes, size=size)
    if configuration.normalization == "image":
        return nn.Sequential(ImageNormalization(), body)
    if configuration.normalization == "minmax":
        mean = deviation = torch.full_like(mean, 255 / 2)
    normalization = StainNormalization if configuration.normalization == "reinhard" else Normalization
    return nn.Sequential(normalization(mean, deviation), body)


def check_own_families(configurations: Iterable[Configuration], *, channels: int, classes: int, size: int) -> None:
    """Build a network of each family ``package.module:function`` among the configurations, and try it on two images.

    Raises:
        InputError: a function cannot be imported or called, or its network does not fit the data.
    """
    first = {one.family: one for one in reversed(list(configurations)) if is_own(one.family)}
    for family, configuration in first.items():
        placeholder = torch.ones(channels)
        network = build_network(configuration, size=size, classes=classes, mean=placeholder, deviation=placeholder)
        shape, expected = (2, channels, size, size), (2, classes)
        try:
            with torch.no_grad():
                logits = network.eval()(torch.zeros(shape))
        except Exception as error:
            raise InputError(
                f"family = {family!r}: its network does not take images {shape}: {describe(error)}"
            ) from None
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        if found != expected:
            raise InputError(f"family = {family!r}: its network maps images {shape} to {found}, expected {expected}")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"family = {family!r}: its network has no parameters to train")


def _build_body(configuration: Configuration, **sizes: int) -> nn.Module:
    function = load_builder(configuration.family)
    shape = {name: getattr(configuration, name) for name in SHAPE_FIELDS}
    arguments = {name: value for name, value in shape.items() if value is not None}
    if configuration.dropout:
        arguments["dropout"] = configuration.dropout
    # Sizes and dropout go only to functions that take them: not every network depends on the image size.
    common = sizes | {"dropout": configuration.dropout}
    arguments |= {name: value for name, value in common.items() if takes(function, name)}
    if is_own(configuration.family):
        return call_own(configuration.family, function, arguments)
    body: nn.Module = function(**arguments)
    return body
