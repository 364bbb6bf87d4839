"""Stain normalization as the first layer of a network: another stain or background, the same input."""

from __future__ import annotations

import pytest
import torch

from bloodtune.training.models import StainNormalization, build_network
from bloodtune.training.starting_network import weighted_layers
from engine_fixtures import make_configuration

MEAN, DEVIATION = torch.tensor([180.0, 120.0, 170.0]), torch.tensor([40.0, 50.0, 25.0])


def draw_images() -> torch.Tensor:
    """Return float pixels (6, 3, 16, 16) far from black and white, smooth enough to have a stain."""
    generator = torch.Generator().manual_seed(0)
    return 110 + 80 * torch.rand((6, 3, 16, 16), generator=generator)


def stain(images: torch.Tensor, amounts: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Scale the optical densities of the channels, and add those of a ground."""
    density = -torch.log((images + 1) / 256)
    return torch.exp(-(density * amounts.view(1, 3, 1, 1) + ground.view(1, 3, 1, 1))) * 256 - 1


def test_another_amount_of_stain_and_another_ground_change_nothing() -> None:
    layer, images = StainNormalization(MEAN, DEVIATION), draw_images()
    other = stain(images, torch.tensor([0.8, 1.3, 1.1]), torch.tensor([0.0, 0.05, 0.3]))
    assert (other - images).abs().mean() > 20
    torch.testing.assert_close(layer(other), layer(images), atol=1e-3, rtol=1e-3)


def test_each_image_gets_about_the_mean_and_deviation_of_the_training_pixels() -> None:
    normalized = StainNormalization(MEAN, DEVIATION)(draw_images())
    assert normalized.mean((2, 3)).abs().max() < 0.15
    assert (normalized.std((2, 3)) - 1).abs().max() < 0.25


def test_an_image_without_contrast_stays_finite_also_its_gradient() -> None:
    images = torch.full((1, 3, 8, 8), 255.0, requires_grad=True)
    StainNormalization(MEAN, DEVIATION)(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_configuration_selects_it(dtype: torch.dtype) -> None:
    configuration = make_configuration("residual", normalization="reinhard")
    network = build_network(configuration, size=16, classes=3, mean=MEAN, deviation=DEVIATION)
    assert type(network[0]) is StainNormalization
    assert network(draw_images().to(dtype)).shape == (6, 3)


def test_the_layers_with_weights_are_those_of_the_body_in_order() -> None:
    network = build_network(make_configuration("residual"), size=16, classes=3, mean=MEAN, deviation=DEVIATION)
    names = [type(layer).__name__ for layer in weighted_layers(network)]
    assert names == ["Conv2d", "BatchNorm2d", "ResidualBlock", "Convolution", "BatchNorm2d", "ResidualBlock", "Linear"]
