"""The MLNN on other data than the paper's: its parameters by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bloodtune.training.models.mlnn import mlnn


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_an_mlnn_of_grey_images_and_two_classes_has_these_parameters() -> None:
    network = mlnn(channels=1, classes=2, size=8, hidden_layers=3, hidden_size=10, dropout=0.1)
    assert count_parameters(network) == (64 * 10 + 10) + 2 * (10 * 10 + 10) + (10 * 2 + 2)


def test_an_mlnn_grows_with_the_area_of_its_images() -> None:
    small, large = (
        mlnn(channels=3, classes=8, size=size, hidden_layers=1, hidden_size=16, dropout=0.0) for size in (28, 56)
    )
    assert count_parameters(large) - count_parameters(small) == 3 * 16 * (56**2 - 28**2)


def test_an_mlnn_ends_each_hidden_layer_with_dropout_and_has_none_behind_its_classifier() -> None:
    layers = list(mlnn(channels=1, classes=2, size=8, hidden_layers=2, hidden_size=10, dropout=0.4))
    assert [getattr(layer, "p", None) for layer in layers] == [None, None, None, 0.4, None, None, 0.4, None]


def test_an_mlnn_takes_no_other_size_than_its_own() -> None:
    network = mlnn(channels=1, classes=2, size=8, hidden_layers=1, hidden_size=10, dropout=0.0)
    assert network(torch.zeros(3, 1, 8, 8)).shape == (3, 2)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        network(torch.zeros(3, 1, 9, 9))
