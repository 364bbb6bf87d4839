"""Faster CPU versions of PyTorch layers: dropout, flatten, pooling, 3x3 convolution.

The kernels are imported inside the functions that use them, because numba takes time to load.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# For each number type of our kernels: the integer type that holds its bits, and the bits of infinity.
_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
_INFINITY = {torch.bfloat16: 0x7F80, torch.float32: 0x7F800000}


class Dropout(nn.Dropout):
    """Dropout that draws 16 random bits per value, which saves a tenth of an MLNN's training step.

    The probability ``p`` is rounded to a multiple of 1 / 65,536. PyTorch's own dropout is used on other devices, where
    ``p`` is 0 or 1, and with ``is_plain``.
    """

    is_plain = False

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Drop values (any shape) and scale the others in training mode; return them unchanged in evaluation mode."""
        if self.is_plain or not self.training or not 0 < self.p < 1 or values.device.type != "cpu":
            return super().forward(values)
        drawn = torch.empty(math.ceil(values.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
        bits = drawn.view(torch.int16)[: values.numel()].view(values.shape)
        kept = bits >= round(2**16 * self.p) - 2**15
        return values * kept.to(values.dtype).mul_(1 / (1 - self.p))


class Flatten(nn.Module):
    """Flatten images in channels_last order: (N, C, H, W) to (N, H * W * C).

    PyTorch's own Flatten copies images into NCHW order. Their gradient then has that order too, which slows down the
    backward passes of the layers before it.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the flattened values; this is a view if ``values`` are in channels_last order."""
        return values.permute(0, 2, 3, 1).flatten(1)


class MeanPool(nn.Module):
    """Average images over their pixels, (N, C, H, W) to (N, C); unlike a mean, it does not write out the gradient."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of each channel."""
        return values.sum((2, 3)) / (values.shape[2] * values.shape[3])


class MaxPoolReLU(nn.Module):
    """2x2 max-pool, then ReLU: the same values as ReLU, then max-pool, with a quarter of the ReLU's work.

    PyTorch's own pooling writes 64-bit positions, and its backward pass writes zeros before it fills them in. On a CPU
    this takes a third of a bfloat16 training step of the papers' CNN; our kernels need a tenth of that time. With
    ``is_plain`` PyTorch's own pooling is used.
    """

    is_plain = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool (N, C, H, W) to (N, C, H // 2, W // 2)."""
        is_known = not self.is_plain and images.device.type == "cpu" and images.dtype in _BITS
        if is_known and images.is_contiguous(memory_format=torch.channels_last):
            return _PoolRectified.apply(images)  # type: ignore[no-any-return, no-untyped-call]
        return functional.max_pool2d(images, 2).relu_()


class _PoolRectified(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, images: torch.Tensor) -> torch.Tensor:
        from bloodtune.training.models.numba_pooling import pool_rectified

        count, channels, height, width = context.shape = images.shape
        shape = (count, channels, height // 2, width // 2)
        pooled = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
        bits = _bits(pooled)
        context.places = np.empty(bits.shape, np.uint8)
        pool_rectified(_bits(images), bits, context.places, bits.dtype.type(_INFINITY[images.dtype]))
        return pooled

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        from bloodtune.training.models.numba_pooling import spread

        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_images = torch.empty(context.shape, dtype=gradient.dtype, memory_format=torch.channels_last)
        if context.shape[2] % 2 or context.shape[3] % 2:
            of_images.zero_()  # an odd last row or column is not pooled
        spread(_bits(gradient), context.places, _bits(of_images))
        return of_images


def _bits(images: torch.Tensor) -> np.ndarray:
    return images.detach().permute(0, 2, 3, 1).view(_BITS[images.dtype]).numpy()


class Convolution(nn.Conv2d):
    """A 3x3 convolution, padded to keep the size, whose weight gradient takes half the time on small images.

    oneDNN's bfloat16 products work on rows of 32 pixels; an image 7 pixels wide fills only 7 of them. For the weight
    gradient we therefore place as many images as fit side by side, with a column of zeros after each. In other
    precisions this gains nothing; there, and with ``is_plain``, PyTorch's own convolution is used.
    """

    is_plain = False

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Convolve (N, ``inputs``, H, W) to (N, ``outputs``, H, W)."""
        beside = 32 // (images.shape[3] + 1)
        is_cpu = images.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        is_bfloat16 = is_cpu and torch.get_autocast_dtype("cpu") is torch.bfloat16
        if self.training and is_bfloat16 and not self.is_plain and beside >= 4 and len(images) % beside == 0:
            return _ConvolveSideBySide.apply(images, self.weight, self.bias, beside)  # type: ignore[no-any-return, no-untyped-call]
        return super().forward(images)


class _ConvolveSideBySide(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(
        context: Any, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, beside: int
    ) -> torch.Tensor:
        context.save_for_backward(images, weight)
        context.beside = beside
        return functional.conv2d(images, weight, bias, padding=1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight = context.saved_tensors
        needs_images, needs_weight, needs_bias, _ = context.needs_input_grad

        def gradients(gradient: torch.Tensor, images: torch.Tensor, mask: list[bool]) -> list[torch.Tensor]:
            return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
                gradient, images, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
            )

        of_images = gradients(gradient, images, [True, False, False])[0] if needs_images else None
        gradient, images = (_side_by_side(tensor, context.beside) for tensor in (gradient, images))
        _, of_weight, of_bias = gradients(gradient, images, [False, needs_weight, needs_bias])
        return of_images, of_weight, of_bias, None


def _side_by_side(images: torch.Tensor, beside: int) -> torch.Tensor:
    count, channels, height, width = images.shape
    rows = images.new_empty(count // beside, height, beside, width + 1, channels)
    rows[:, :, :, width] = 0
    rows[:, :, :, :width] = images.view(count // beside, beside, channels, height, width).permute(0, 3, 1, 4, 2)
    return rows.flatten(2, 3).permute(0, 3, 1, 2)


def lay_out(network: nn.Module, *, plain: bool) -> None:
    """Store a network's weights in its fastest memory order; ``plain`` selects PyTorch's own layers, in NCHW order."""
    for module in network.modules():
        if isinstance(module, (Convolution, Dropout, MaxPoolReLU)):
            module.is_plain = plain
    order = torch.contiguous_format if plain else torch.channels_last
    network.to(memory_format=order)  # type: ignore[call-overload]
