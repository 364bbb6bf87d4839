"""Every family, optimiser, schedule and loss learns."""

from typing import Any

import pytest

from bloodtune.space.configuration import LOSSES, SCHEDULES
from bloodtune.space.families import FAMILIES
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.prediction import predict
from engine_fixtures import SGD, make_configuration, make_splits
from training_fixtures import EVERYTHING, train

NEEDS: dict[str, dict[str, Any]] = {"focal": {"focal_gamma": 2.0}, "label_smoothing": {"label_smoothing": 0.1}}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns(family: str, splits: DeviceSplits) -> None:
    _, records = train(make_configuration(family, schedule="one_cycle"), splits, 6)
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5, 6]
    assert records[-1].train_loss < 0.6 * records[0].train_loss
    assert records[-1].val_accuracy > 0.9
    assert records[-1].val_macro_f1 > 0.9


@pytest.mark.parametrize("optimizer", [SGD | {"nesterov": True}, {"optimizer": "adamw", "weight_decay": 0.1}])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_and_schedule_learns(optimizer: dict[str, Any], schedule: str, splits: DeviceSplits) -> None:
    _, records = train(make_configuration("residual", **optimizer, schedule=schedule), splits, 4)
    assert records[-1].val_accuracy > 0.9


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss: str, splits: DeviceSplits) -> None:
    _, records = train(make_configuration("mlnn", loss=loss, **NEEDS.get(loss, {})), splits, 4)
    assert records[-1].val_accuracy > 0.9


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("channels", "classes"), [(1, 4), (3, 2)])
def test_grey_images_and_other_numbers_of_classes_are_learned(family: str, channels: int, classes: int) -> None:
    splits = make_splits(channels=channels, classes=classes)
    training, records = train(make_configuration(family, schedule="one_cycle", learning_rate=0.005), splits, 4)
    assert records[-1].val_accuracy > 0.8
    assert predict(training.network, splits.val_images).shape == (60, classes)


def test_a_configuration_with_everything_on_learns(splits: DeviceSplits) -> None:
    _, records = train(make_configuration("residual", **EVERYTHING), splits, 5)
    assert records[-1].val_accuracy > 0.9
