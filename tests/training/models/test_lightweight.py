"""The lightweight network on other data than the paper's: parameters by hand, norms, and the averaging grid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bloodtune.training.models.lightweight import lightweight


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_lightweight_network_of_grey_images_and_two_classes_has_these_parameters() -> None:
    network = lightweight(channels=1, classes=2, size=28, width=4, dropout=0.0)
    convolutions = 9 * (4 + 4 * 4 + 4 * 16 + 16 * 16 + 16 * 16) + 2 * (4 + 4 + 16 + 16 + 16)
    head = (16 * 49 * 128 + 128) + (128 * 128 + 128) + (128 * 2 + 2)
    assert count_parameters(network) == convolutions + head


def test_a_lightweight_network_has_a_norm_for_each_convolution_and_no_bias() -> None:
    layers = list(lightweight(channels=3, classes=8, size=28, width=4, dropout=0.0))
    convolutions = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 5
    for number in convolutions:
        norm = layers[number + 1]
        assert isinstance(norm, nn.BatchNorm2d)
        assert layers[number].bias is None
        assert norm.num_features == layers[number].out_channels


def test_dropout_follows_both_hidden_layers_of_a_lightweight_head() -> None:
    layers = list(lightweight(channels=3, classes=8, size=28, width=4, dropout=0.4))
    assert [getattr(layer, "p", None) for layer in layers[-7:]] == [None, None, 0.4, None, None, 0.4, None]


@pytest.mark.parametrize(("size", "pools"), [(8, [7]), (28, []), (31, []), (32, [7]), (64, [7])])
def test_features_are_averaged_only_where_they_do_not_fit_the_grid(size: int, pools: list[int]) -> None:
    network = lightweight(channels=3, classes=8, size=size, width=4, dropout=0.0).eval()
    assert [layer.output_size for layer in network.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)] == pools
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 8)
