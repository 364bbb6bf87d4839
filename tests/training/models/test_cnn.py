"""The CNN on other data than the paper's: parameters by hand, and where larger images are averaged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bloodtune.training.models.cnn import cnn
from bloodtune.training.models.cpu_layers import MaxPoolReLU


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_cnn_of_grey_images_and_two_classes_has_these_parameters() -> None:
    network = cnn(channels=1, classes=2, size=28, width=4, dropout=0.0)
    convolutions = (9 * 4 + 4) + (4 * 9 * 8 + 8) + (8 * 9 * 16 + 16)
    head = (16 * 9 * 256 + 256) + (256 * 128 + 128) + (128 * 2 + 2)
    assert count_parameters(network) == convolutions + head


@pytest.mark.parametrize(("size", "pools"), [(8, [3]), (24, []), (28, []), (31, []), (32, [3])])
def test_features_are_averaged_only_where_they_do_not_fit_the_grid(size: int, pools: list[int]) -> None:
    network = cnn(channels=3, classes=8, size=size, width=4, dropout=0.0).eval()
    assert [layer.output_size for layer in network.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)] == pools
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 8)


def test_each_block_pools_behind_its_convolution() -> None:
    layers = list(cnn(channels=3, classes=8, size=28, width=4, dropout=0.0))
    assert [layer.out_channels for layer in layers[0:6:2] if isinstance(layer, nn.Conv2d)] == [4, 8, 16]
    assert all(isinstance(layer, MaxPoolReLU) for layer in layers[1:6:2])
