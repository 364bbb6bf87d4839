"""The residual network: its parameters by hand, and the sizes that its stages work on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bloodtune.training.models.cpu_layers import Dropout
from bloodtune.training.models.residual import ResidualBlock, residual


def build(width: int = 8, channels: int = 3, classes: int = 8, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return residual(channels=channels, classes=classes, width=width, dropout=dropout)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def sizes_of(network: nn.Module, size: int) -> list[int]:
    """Return the height of the images behind each convolution."""
    seen: list[int] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[2]))
    network.eval()(torch.zeros(2, 3, size, size))
    return seen


def test_a_width_of_32_has_the_parameters_of_the_readme() -> None:
    stem = 3 * 36 * 32 + 2 * 32
    first = 2 * (32 * 9 * 32 + 2 * 32)
    between = 32 * 9 * 96 + 2 * 96
    second = 2 * (96 * 9 * 96 + 2 * 96)
    head = 96 * 8 + 8
    assert stem + first + between + second + head == 216_968
    assert count_parameters(build(width=32)) == 216_968


def test_grey_images_save_two_channels_of_the_stem_and_a_class_a_row_of_the_head() -> None:
    assert count_parameters(build()) - count_parameters(build(channels=1)) == 2 * 36 * 8
    assert count_parameters(build()) - count_parameters(build(classes=2)) == 6 * (3 * 8 + 1)


def test_the_stages_of_28_pixels_work_on_12_and_6() -> None:
    assert sizes_of(build(), 28) == [12, 12, 12, 6, 6, 6]


@pytest.mark.parametrize(("size", "sizes"), [(8, [2, 2, 2, 1, 1, 1]), (64, [30, 30, 30, 15, 15, 15])])
def test_the_stages_of_other_images_work_on_a_half_and_a_quarter(size: int, sizes: list[int]) -> None:
    assert sizes_of(build(), size) == sizes


def test_the_second_stage_is_three_times_as_wide() -> None:
    channels = [layer.out_channels for layer in build(width=8).modules() if isinstance(layer, nn.Conv2d)]
    assert channels == [8, 8, 8, 24, 24, 24]


def test_dropout_comes_right_before_the_classifier() -> None:
    *_, dropout, classifier = build(dropout=0.3)
    assert isinstance(dropout, Dropout) and dropout.p == 0.3
    assert isinstance(classifier, nn.Linear)


def test_a_block_changes_neither_shape_nor_sign() -> None:
    torch.manual_seed(0)
    block, features = ResidualBlock(4).eval(), torch.randn(2, 4, 5, 5)
    nn.init.constant_(block.body[-1].weight, -1.0)  # type: ignore[arg-type]
    found = block(features)
    assert found.shape == features.shape
    assert (found >= 0).all() and (found > 0).any()


def test_a_block_leaves_its_input_as_it_was() -> None:
    features = torch.randn(2, 4, 5, 5)
    before = features.clone()
    ResidualBlock(4).eval()(features)
    assert torch.equal(features, before)
