"""The training of one configuration: seeds, batches, validation, schedules, divergence and batch norm."""

import itertools
import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import nn
from torch.nn import functional

from bloodtune.space.families import FAMILIES
from bloodtune.training import trainer as module
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.prediction import predict
from bloodtune.training.starting_network import weighted_layers
from bloodtune.training.trainer import DivergedError, Training
from engine_fixtures import SGD, make_configuration, make_splits
from training_fixtures import EVERYTHING, records_of, train

# Seeds


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_records(family: str, splits: DeviceSplits) -> None:
    configuration = make_configuration(family, **EVERYTHING)
    first = records_of(configuration, splits, seed=2**32 - 1)
    torch.rand(7)  # what was drawn before in the same process does not matter
    np.random.default_rng().random()
    assert records_of(configuration, splits, seed=2**32 - 1) == first
    assert records_of(configuration, splits, seed=1) != first


def test_a_seed_decides_about_the_order_of_the_images_too(
    splits: DeviceSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    original = module.draw_batch

    def watch(images: torch.Tensor, rows: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen[-1].extend(rows.tolist())
        return original(images, rows, *rest)

    monkeypatch.setattr(module, "draw_batch", watch)
    # Dropout draws from torch's global generator and leaves the order alone.
    for seed, dropout in ((0, 0.0), (0, 0.5), (1, 0.0)):
        training = Training(make_configuration("mlnn", dropout=dropout), splits, max_epochs=2, seed=seed)
        for _ in range(2):
            seen.append([])
            training.run_epoch()
    assert all(sorted(epoch) == list(range(192)) for epoch in seen)
    assert seen[0] == seen[2] and seen[1] == seen[3]
    assert all(one != other for one, other in itertools.combinations((seen[0], seen[1], seen[4]), 2))


# Batches


def test_a_batch_may_be_larger_than_the_split(splits: DeviceSplits) -> None:
    whole = records_of(make_configuration("cnn", batch_size=192), splits)
    assert records_of(make_configuration("cnn", batch_size=4096), splits) == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_batch_may_be_a_single_image(family: str) -> None:
    splits = make_splits(train=33)
    record = records_of(make_configuration(family, batch_size=16, **EVERYTHING), splits, 1)[0]
    assert math.isfinite(record.train_loss)


def test_train_loss_is_the_mean_over_images_whatever_the_last_batch() -> None:
    splits = make_splits(train=50)
    training, (record,) = train(make_configuration("mlnn", batch_size=48, learning_rate=1e-7), splits, 1)
    probabilities = predict(training.network, splits.train_images)
    expected = functional.nll_loss(probabilities.log(), splits.train_labels).item()
    assert record.train_loss == pytest.approx(expected, rel=1e-2)


# Validation


@pytest.mark.parametrize("ema", [0.0, 0.2])
def test_records_score_the_network_that_is_kept(ema: float, splits: DeviceSplits) -> None:
    training, records = train(make_configuration("lightweight", ema=ema, dropout=0.5), splits)
    probabilities = predict(training.network, splits.val_images)
    predicted, labels = probabilities.argmax(1).numpy(), splits.val_labels.numpy()
    assert records[-1].val_accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert records[-1].val_macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    expected = -probabilities.double()[torch.arange(60), splits.val_labels].log().mean().item()
    assert records[-1].val_loss == pytest.approx(expected, rel=1e-4)


def test_records_of_a_training_with_the_dihedral_group_score_the_mean_over_four_rotations(splits: DeviceSplits) -> None:
    training, records = train(make_configuration("mlnn", dihedral=True, learning_rate=1e-3), splits)
    turned = [splits.val_images.rot90(turns, (1, 2)) for turns in range(4)]
    probabilities = torch.stack([predict(training.network, images.contiguous()) for images in turned]).mean(0)
    expected = functional.nll_loss(probabilities.log(), splits.val_labels).item()
    assert records[-1].val_loss == pytest.approx(expected, rel=1e-3)


def test_dropout_and_batch_statistics_stay_out_of_validation(splits: DeviceSplits) -> None:
    training, _ = train(make_configuration("residual", dropout=0.9), splits, 1)
    training.network.train()
    together = predict(training.network, splits.val_images)
    training.network.train()
    alone = torch.cat([predict(training.network, image) for image in splits.val_images.split(1)])
    torch.testing.assert_close(together, alone, rtol=0.05, atol=0.01)
    assert torch.equal(together, predict(training.network, splits.val_images))


def test_an_average_of_weights_is_scored_but_not_trained(splits: DeviceSplits) -> None:
    plain, averaged = make_configuration("lightweight"), make_configuration("lightweight", ema=0.5)
    without, with_average = records_of(plain, splits, 3), records_of(averaged, splits, 3)
    assert [record.train_loss for record in with_average] == [record.train_loss for record in without]
    assert [record.val_loss for record in with_average] != [record.val_loss for record in without]


def test_what_a_training_has_goes_with_it_not_with_the_next_look_for_garbage(splits: DeviceSplits) -> None:
    training = Training(make_configuration("cnn", ema=0.1), splits, max_epochs=2, seed=0)
    training.run_epoch()
    seen = weakref.ref(training)
    del training
    assert seen() is None


def test_parameters_are_those_of_the_network_counted_once(splits: DeviceSplits) -> None:
    hidden = (12 * 12 * 3 * 32 + 32) + (32 * 32 + 32) + (32 * 3 + 3)
    for ema in (0.0, 0.1):
        assert Training(make_configuration("mlnn", ema=ema), splits, max_epochs=1, seed=0).parameters == hidden


# Schedules


@pytest.mark.parametrize(("train_images", "steps"), [(192, 6), (193, 7)])
def test_the_schedule_ends_with_the_last_step(monkeypatch: pytest.MonkeyPatch, train_images: int, steps: int) -> None:
    seen: list[float] = []
    monkeypatch.setattr(module, "schedule_factor", lambda schedule, progress: seen.append(progress) or 1.0)
    train(make_configuration("mlnn"), make_splits(train=train_images), 3)
    assert seen == pytest.approx([step / (3 * steps) for step in range(3 * steps)])


def test_the_last_epoch_decides_about_the_schedule_not_the_epochs_run(splits: DeviceSplits) -> None:
    # A trial that ASHA stops at a rung has been where a longer one is at that epoch.
    cosine = make_configuration("mlnn", schedule="cosine")
    long = records_of(cosine, splits, 4)
    assert records_of(cosine, splits, 2, max_epochs=4) == long[:2]
    assert records_of(cosine, splits, 2) != long[:2]


def test_the_learning_rate_is_that_of_the_configuration_times_the_schedule(splits: DeviceSplits) -> None:
    # One epoch of one step, which under cosine has the full rate.
    still = make_configuration("mlnn", batch_size=4096, schedule="one_cycle", learning_rate=1e-7)
    moved = make_configuration("mlnn", batch_size=4096, schedule="cosine", learning_rate=0.01)
    losses = [records_of(configuration, splits, 1)[0].val_loss for configuration in (still, moved)]
    assert losses[1] < losses[0]


# Divergence


@pytest.mark.parametrize("family", ["mlnn", "cnn"])
def test_an_absurd_learning_rate_ends_in_an_error_that_names_the_epoch(family: str, splits: DeviceSplits) -> None:
    training = Training(make_configuration(family, **SGD | {"learning_rate": 100.0}), splits, max_epochs=5, seed=0)
    with pytest.raises(DivergedError, match=r"^(training|validation) loss is (nan|inf) in epoch \d$") as caught:
        [training.run_epoch() for _ in range(5)]
    assert str(caught.value).endswith(f"in epoch {training.epoch}")


def test_a_loss_that_is_not_finite_in_training_is_told_as_such(
    splits: DeviceSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build_loss", lambda *_: lambda logits, labels: logits.mean() + float("inf"))
    training = Training(make_configuration("mlnn"), splits, max_epochs=1, seed=0)
    with pytest.raises(DivergedError, match=r"^training loss is inf in epoch 1$"):
        training.run_epoch()


def test_a_network_that_gives_nan_in_validation_alone_has_diverged(
    splits: DeviceSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All-NaN logits would score a macro-F1 above zero, so the loss is what must be looked at.
    training = Training(make_configuration("mlnn"), splits, max_epochs=2, seed=0)
    nan = torch.full((60, 3), float("nan"))
    training.run_epoch()
    monkeypatch.setattr(module, "predict", lambda *_: nan)
    with pytest.raises(DivergedError, match=r"^validation loss is nan in epoch 2$"):
        training.run_epoch()


# Batch norm's statistics


def test_statistics_of_batch_norm_are_those_of_the_weights_that_are_validated(splits: DeviceSplits) -> None:
    configuration = make_configuration("lightweight", **SGD | {"learning_rate": 0.1}, batch_size=64)
    training = Training(configuration, splits, max_epochs=1, seed=0, recompute_norms=True)
    training.run_epoch()
    norm = next(layer for layer in training.network.modules() if isinstance(layer, nn.BatchNorm2d))
    norm.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].float()))
    seen: list[torch.Tensor] = []
    predict(training.network, splits.train_images)
    values = torch.cat(seen)
    # The training split is three batches here, all of which are taken.
    torch.testing.assert_close(norm.running_mean, values.mean((0, 2, 3)), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(norm.running_var, values.var((0, 2, 3)), rtol=5e-2, atol=1e-3)
    assert norm.momentum == 0.1, "as it was"


def test_statistics_are_left_to_an_average_of_weights_and_to_those_who_do_not_ask(
    splits: DeviceSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "update_bn", lambda *_: pytest.fail("taken anew"))
    Training(make_configuration("lightweight", ema=0.1), splits, max_epochs=1, seed=0, recompute_norms=True).run_epoch()
    train(make_configuration("lightweight"), splits, 1)


def test_a_training_starts_from_given_weights_and_keeps_its_first_layers() -> None:
    splits, configuration = make_splits(64, 32), make_configuration("residual")
    first = Training(configuration, splits, max_epochs=2, seed=0)
    first.train_epoch()
    start = {name: tensor.clone() for name, tensor in first.network.state_dict().items()}
    second = Training(configuration, splits, max_epochs=2, seed=5, start=start, kept=3)
    assert all(torch.equal(start[name], tensor) for name, tensor in second.network.state_dict().items())
    second.train_epoch()
    layers = weighted_layers(second.network)
    before = Training(configuration, splits, max_epochs=2, seed=5, start=start)
    pairs = list(zip(layers, weighted_layers(before.network), strict=True))
    unchanged = [all(map(torch.equal, one.parameters(), other.parameters())) for one, other in pairs]
    assert unchanged == [True, True, True, False, False, False, False]
