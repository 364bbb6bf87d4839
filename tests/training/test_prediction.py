"""Prediction in batches, with stand-ins for the network and the views."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bloodtune.training.augmentation import prediction_views
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.prediction import VALIDATION_BATCH, predict
from engine_fixtures import make_configuration
from training_fixtures import train


class FirstPixel(nn.Module):
    """Gives the first pixel of an image the odds of its value to one, and keeps what it saw."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.seen: list[torch.Tensor] = []
        self.states: list[tuple[bool, bool]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        self.states.append((self.training, torch.is_grad_enabled()))
        odds = images[:, 0, 0, 0].float().log()
        return torch.stack([odds, torch.zeros_like(odds)], dim=1).to(self.dtype)


def make_images(*pixels: int) -> torch.Tensor:
    """Return grey images, uint8 (N, 2, 3, 1), each of one value."""
    return torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 3, 1)


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    found = predict(FirstPixel(), make_images(1, 3, 9))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.9, 0.1]]))


def test_views_are_averaged_as_probabilities_not_as_logits() -> None:
    def tripled(images: torch.Tensor, configuration: Any) -> list[torch.Tensor]:
        return [images, 3 * images]

    found = predict(FirstPixel(), make_images(3), make_configuration(), tripled)
    # (0.75 + 0.9) / 2; the mean of the logits, log sqrt(27), would give 0.839.
    torch.testing.assert_close(found, torch.tensor([[0.825, 0.175]]))


def test_views_are_those_of_the_configuration_given() -> None:
    asked: list[Any] = []

    def views(images: torch.Tensor, configuration: Any) -> list[torch.Tensor]:
        asked.append((images.shape, configuration))
        return [images]

    predict(FirstPixel(), make_images(3, 9), None, views)
    assert asked == []
    configuration = make_configuration("cnn", dihedral=True)
    predict(FirstPixel(), make_images(3, 9), configuration, views)
    assert asked == [((2, 1, 2, 3), configuration)]


def test_the_network_gets_the_channels_before_the_pixels() -> None:
    network, images = FirstPixel(), torch.arange(1, 37, dtype=torch.uint8).view(2, 2, 3, 3)
    predict(network, images)
    assert network.seen[0].shape == (2, 3, 2, 3)
    assert torch.equal(network.seen[0], images.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("count", "batches"),
    [(1, [1]), (VALIDATION_BATCH, [VALIDATION_BATCH]), (2 * VALIDATION_BATCH + 1, [VALIDATION_BATCH] * 2 + [1])],
)
def test_images_come_in_batches_and_in_their_order(count: int, batches: list[int]) -> None:
    network, pixels = FirstPixel(), [1 + number % 200 for number in range(count)]
    found = predict(network, make_images(*pixels))
    assert [len(seen) for seen in network.seen] == batches
    odds = torch.tensor(pixels, dtype=torch.float32)
    torch.testing.assert_close(found[:, 0], odds / (odds + 1))


def test_the_network_predicts_in_evaluation_and_without_gradients() -> None:
    network = FirstPixel().train()
    assert not predict(network, make_images(3)).requires_grad
    assert network.states == [(False, False)]
    assert torch.is_grad_enabled()


def test_logits_of_half_precision_become_probabilities_of_full_precision() -> None:
    found = predict(FirstPixel(torch.bfloat16), make_images(3))
    assert found.dtype == torch.float32
    assert found.sum().item() == pytest.approx(1, abs=1e-6)


def test_predict_gives_probabilities_in_the_order_of_the_images(splits: DeviceSplits) -> None:
    training, _ = train(make_configuration("mlnn"), splits)
    images = splits.train_images.repeat(2, 1, 1, 1)
    assert len(images) > VALIDATION_BATCH
    probabilities = predict(training.network, images)
    assert probabilities.shape == (384, 3)
    assert probabilities.dtype == torch.float32
    assert not probabilities.requires_grad
    torch.testing.assert_close(probabilities.sum(1), torch.ones(384))
    torch.testing.assert_close(probabilities[:192], probabilities[192:], rtol=0.05, atol=0.01)
    assert (probabilities.argmax(1)[:192] == splits.train_labels).float().mean() > 0.9


@pytest.mark.parametrize("shift", [0, 2])
def test_predict_averages_probabilities_over_the_views_of_a_configuration(splits: DeviceSplits, shift: int) -> None:
    configuration = make_configuration("mlnn", dihedral=True, shift=shift)
    training, _ = train(configuration, splits)
    views = prediction_views(splits.val_images.permute(0, 3, 1, 2), configuration)
    singles = [predict(training.network, view.permute(0, 2, 3, 1).contiguous()) for view in views]
    averaged = predict(training.network, splits.val_images, configuration)
    torch.testing.assert_close(averaged, torch.stack(singles).mean(0), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(averaged, singles[0], rtol=1e-3, atol=1e-4)


def test_the_mean_over_the_dihedral_group_is_the_same_for_a_turned_picture(splits: DeviceSplits) -> None:
    configuration = make_configuration("mlnn", dihedral=True)
    training, _ = train(configuration, splits)
    averaged = predict(training.network, splits.val_images, configuration)
    turned = splits.val_images.rot90(1, (1, 2)).contiguous()
    torch.testing.assert_close(averaged, predict(training.network, turned, configuration), rtol=1e-3, atol=1e-4)
