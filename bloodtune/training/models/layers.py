"""Layers that do what PyTorch's own do in less time on a CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# Of the numbers that our loops take: the integers that hold their bits, and the bits of infinity.
_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
_INFINITY = {torch.bfloat16: 0x7F80, torch.float32: 0x7F800000}


class Dropout(nn.Dropout):
    """Dropout whose mask takes 16 random bits a value: PyTorch's own takes a tenth of an MLNN's training step more.

    Values are dropped with the probability ``p`` rounded to a multiple of 1 / 65,536. On other devices, and where ``p``
    is 0 or 1, it is PyTorch's own; also with ``is_plain``.
    """

    is_plain = False

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Drop values (any shape) and scale the rest in training mode; in evaluation mode return them as they are."""
        if self.is_plain or not self.training or not 0 < self.p < 1 or values.device.type != "cpu":
            return super().forward(values)
        drawn = torch.empty(math.ceil(values.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
        bits = drawn.view(torch.int16)[: values.numel()].view(values.shape)
        kept = bits >= round(2**16 * self.p) - 2**15
        return values * kept.to(values.dtype).mul_(1 / (1 - self.p))


class Flatten(nn.Module):
    """Flatten images in the order in which channels_last keeps them: (N, C, H, W) to (N, H * W * C).

    PyTorch's own copies them into another order, and hands their gradient down in it, which makes the backward passes
    of the layers below slow.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return a view where ``values`` are in channels_last order."""
        return values.permute(0, 2, 3, 1).flatten(1)


class MeanPool(nn.Module):
    """Average images over their pixels, (N, C, H, W) to (N, C), without writing out the gradient, as a mean would."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of each channel."""
        return values.sum((2, 3)) / (values.shape[2] * values.shape[3])


class MaxPoolReLU(nn.Module):
    """2x2 max-pool, then ReLU: the values of ReLU, then max-pool, from a quarter of the work.

    PyTorch's own pool writes its places in 64 bits each, and its backward pass zeros first what it fills later: on a
    CPU the two of them take a third of a bfloat16 training step of the papers' CNN, and a tenth of that here. With
    ``is_plain`` it is PyTorch's own.
    """

    is_plain = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H // 2, W // 2)."""
        is_known = not self.is_plain and images.device.type == "cpu" and images.dtype in _BITS
        if is_known and images.is_contiguous(memory_format=torch.channels_last):
            return _PoolRectified.apply(images)  # type: ignore[no-any-return, no-untyped-call]
        return functional.max_pool2d(images, 2).relu_()


class _PoolRectified(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, images: torch.Tensor) -> torch.Tensor:
        from bloodtune.training.models.kernels import pool_rectified

        count, channels, height, width = context.shape = images.shape
        shape = (count, channels, height // 2, width // 2)
        pooled = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
        bits = _bits(pooled)
        context.places = np.empty(bits.shape, np.uint8)
        pool_rectified(_bits(images), bits, context.places, bits.dtype.type(_INFINITY[images.dtype]))
        return pooled

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        from bloodtune.training.models.kernels import spread

        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_images = torch.empty(context.shape, dtype=gradient.dtype, memory_format=torch.channels_last)
        if context.shape[2] % 2 or context.shape[3] % 2:
            of_images.zero_()  # the last row or column was not pooled
        spread(_bits(gradient), context.places, _bits(of_images))
        return of_images


def _bits(images: torch.Tensor) -> np.ndarray:
    return images.detach().permute(0, 2, 3, 1).view(_BITS[images.dtype]).numpy()


class Convolution(nn.Conv2d):
    """A 3x3 convolution, padded to keep the size, whose weights' gradient takes half the time on small pictures.

    oneDNN's bfloat16 products take rows of 32 pixels, of which a picture 7 wide fills 7. So as many images as fit lie
    side by side for that gradient, a column of zeros after each. In other precisions, where that is no gain, and with
    ``is_plain`` it is PyTorch's own.
    """

    is_plain = False

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, ``inputs``, H, W) to (N, ``outputs``, H, W)."""
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
    """Put a network's weights into the order in which it trains fastest; ``plain`` takes PyTorch's own layers."""
    for module in network.modules():
        if isinstance(module, (Convolution, Dropout, MaxPoolReLU)):
            module.is_plain = plain
    order = torch.contiguous_format if plain else torch.channels_last
    network.to(memory_format=order)  # type: ignore[call-overload]
