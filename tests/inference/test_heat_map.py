"""Heat maps of networks that look at one known corner, and of those that have nothing to show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import own_networks
from bloodtune.inference.heat_map import heat_maps, heat_pictures, overlay
from bloodtune.training.models.ensemble import Ensemble
from model_fixtures import SIZE, draw_tiles, make_classifier

CORNER, AROUND = (slice(0, 8), slice(20, 28)), (slice(0, 9), slice(19, 28))  # upper right; a pixel more


def looks_at_corner(*before: nn.Module, size: int = SIZE) -> nn.Module:
    """Return a network of two classes; the second one adds up the pixels in the corner."""
    linear = nn.Linear(3 * size * size, 2)
    weights = torch.zeros(2, 3, size, size)
    weights[1, :, 0 : 2 * size // 7, 5 * size // 7 :] = 1.0
    linear.weight.data = weights.flatten(1)
    return nn.Sequential(*before, nn.Flatten(), linear)


def passing(kernel: int = 1) -> nn.Conv2d:
    """Return a convolution that leaves the image as it is."""
    convolution = nn.Conv2d(3, 3, kernel, padding=kernel // 2)
    nn.init.dirac_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


class Cut(nn.Module):
    """A network without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.linear(images.mean((2, 3)))


class SideBranch(nn.Module):
    """A network that throws away what its last convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = looks_at_corner(), passing()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.used(images)
        self.unused(images)
        return logits


@pytest.mark.parametrize(
    "network",
    [
        looks_at_corner(),
        looks_at_corner(passing()),
        looks_at_corner(passing(3), nn.ReLU(inplace=True)),
        looks_at_corner(passing(), nn.AvgPool2d(2), passing(), size=14),
        SideBranch(),
    ],
    ids=["gradient", "convolution", "in-place", "half size", "side branch"],
)
def test_the_map_is_bright_where_the_network_looks_and_dark_elsewhere(network: nn.Module) -> None:
    maps = heat_maps(network, np.full((2, SIZE, SIZE, 3), 200, np.uint8), np.array([1, 1]))
    assert maps.shape == (2, SIZE, SIZE) and maps.dtype == np.float32
    for one in maps:
        assert one[CORNER].mean() > 0.9
        one[AROUND] = 0  # enlarging a map blurs it by a pixel
        assert one.max() == 0


def test_the_map_of_an_ensemble_is_the_mean_of_its_networks_maps() -> None:
    images, classes = np.full((2, SIZE, SIZE, 3), 200, np.uint8), np.array([1, 1])
    corner, mirrored = looks_at_corner(passing()), looks_at_corner(passing())
    weights = mirrored[-1].weight.data.view(2, 3, SIZE, SIZE)  # type: ignore[union-attr, operator]
    mirrored[-1].weight.data = 100 * weights.flip(3).flatten(1)  # type: ignore[union-attr]
    for members in ([corner, mirrored], [mirrored, corner]):
        ensemble = nn.Sequential(Ensemble(members), nn.Identity())
        for one in heat_maps(ensemble, images, classes):
            assert one[CORNER].mean() == one[CORNER[0], :8].mean() == 1
            assert one.sum() == 128, "and the rest is dark"


def test_what_speaks_against_the_class_stays_dark() -> None:
    network = looks_at_corner(passing())
    network[-1].weight.data.neg_()  # type: ignore[index, union-attr, operator]
    assert heat_maps(network, np.full((1, SIZE, SIZE, 3), 200, np.uint8), np.array([1])).max() == 0


def test_each_image_is_explained_for_its_own_class() -> None:
    network = looks_at_corner()
    network[-1].weight.data[0] = 1.0  # type: ignore[index, union-attr, operator]
    everywhere, corner = heat_maps(network, np.full((2, SIZE, SIZE, 3), 9, np.uint8), np.array([0, 1]))
    assert everywhere.min() == 1.0 and corner.mean() == pytest.approx((8 / 28) ** 2)


def test_a_network_without_a_gradient_has_dark_maps() -> None:
    assert heat_maps(Cut(), draw_tiles(3), np.zeros(3, int)).tolist() == np.zeros((3, SIZE, SIZE)).tolist()


@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual"])
def test_each_family_has_maps_and_stays_as_it_was(family: str) -> None:
    network = make_classifier(family).network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    maps = heat_maps(network, draw_tiles(70), np.arange(70) % 8)  # more than one batch
    assert maps.shape == (70, SIZE, SIZE) and np.isfinite(maps).all()
    assert maps.min() >= 0 and np.isin(maps.max(axis=(1, 2)).round(6), (0, 1)).all()
    assert maps.max(axis=(1, 2)).mean() > 0.5 and maps.mean() < 0.6, "they show something, and not everything"
    assert network.training and all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert [module for module in network.modules() if module._forward_hooks] == []


def test_no_hook_stays_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    network = own_networks.small(channels=3, classes=4, width=4, dropout=0.5)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(network[-1], "forward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            heat_maps(network, draw_tiles(1), np.array([0]))
    assert [module for module in network.modules() if module._forward_hooks] == [] and network.training
    assert heat_maps(network, draw_tiles(1), np.array([0])).shape == (1, SIZE, SIZE)


def test_no_image_gives_no_map() -> None:
    assert heat_maps(looks_at_corner(), draw_tiles(0), np.zeros(0, int)).shape == (0, SIZE, SIZE)


def test_an_overlay_is_bright_where_the_network_looked_and_dark_elsewhere() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    for channels in (1, 3):
        picture = overlay(np.full((4, 4, channels), 255, np.uint8), heat)
        assert picture.shape == (4, 4, 3) and picture.dtype == np.uint8
        assert picture[0, 0].tolist() == [246, 215, 70]
        assert picture[2, 3].tolist() == [22, 11, 57]


def test_the_picture_stays_visible_below_its_heat() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = 255
    for value in (0.0, 1.0):
        picture = overlay(image, np.full((2, 2), value, np.float32)).astype(float)
        np.testing.assert_allclose(picture[0], 2 * picture[1], atol=1)


def test_pictures_of_large_images_are_smaller_by_a_whole_factor() -> None:
    network = looks_at_corner(passing(), nn.AvgPool2d(8))
    pictures = heat_pictures(network, np.full((2, 224, 224, 3), 200, np.uint8), np.array([1, 0]))
    assert [picture.shape for picture in pictures] == [(112, 112, 3)] * 2
