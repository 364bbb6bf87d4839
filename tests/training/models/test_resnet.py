"""The ResNet: its parameters by hand, and the sizes that its stages work on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bloodtune.training.models.residual import ResidualBlock
from bloodtune.training.models.resnet import resnet


def build(width: int = 8, depth: int = 1, channels: int = 3, classes: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return resnet(channels=channels, classes=classes, width=width, depth=depth, dropout=0.0)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_width_32_and_depth_1_have_the_parameters_that_the_docstring_says() -> None:
    def convolution(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + 2 * outputs

    blocks = sum(2 * convolution(width, width) for width in (32, 64, 128))
    expected = convolution(3, 32) + convolution(32, 64) + convolution(64, 128) + blocks + 128 * 8 + 8
    assert sum(parameter.numel() for parameter in build(width=32).parameters()) == expected == 482_472


def test_each_stage_has_depth_blocks() -> None:
    blocks = [layer for layer in build(depth=3).modules() if isinstance(layer, ResidualBlock)]
    assert [block.body[0].out_channels for block in blocks] == [8, 8, 8, 16, 16, 16, 32, 32, 32]


@pytest.mark.parametrize("size", [8, 28, 33])
def test_the_stages_work_at_full_size_a_half_and_a_quarter(size: int) -> None:
    network, seen = build().eval(), []
    for layer in convolutions(network):
        layer.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[2]))
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 8)
    full, half, quarter = size, size // 2, size // 4
    assert seen == [full] * 3 + [half] * 3 + [quarter] * 3


def test_dropout_is_before_the_classifier() -> None:
    network = resnet(channels=1, classes=2, width=8, depth=1, dropout=0.3)
    assert isinstance(network[-2], nn.Dropout) and network[-2].p == 0.3
