"""A training on all folds in step: what it pools, its seeds, and how it goes on from a checkpoint."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from sklearn import metrics as reference
from torch.nn import functional

from bloodtune.run.records import EpochRecord
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import DivergedError, Training
from engine_fixtures import SGD, make_configuration, make_splits

EVERYTHING = {"dropout": 0.3, "dihedral": True, "shift": 1, "ema": 0.1, "schedule": "one_cycle"}


@pytest.fixture(scope="module")
def folds() -> list[DeviceSplits]:
    # Of different sizes, as folds of groups are.
    return [make_splits(train=48, val=held_out, size=8) for held_out in (9, 12, 15)]


def make(folds: list[DeviceSplits], *, seed: int = 3, family: str = "cnn", **changes: Any) -> FoldedTraining:
    return FoldedTraining(make_configuration(family, **changes), folds, max_epochs=4, seed=seed)


def run(training: FoldedTraining | Training, epochs: int) -> list[EpochRecord]:
    """Return the records without what depends on the clock."""
    return [dataclasses.replace(training.run_epoch(), seconds=0.0) for _ in range(epochs)]


def test_the_scores_are_those_of_all_held_out_predictions_together(
    folds: list[DeviceSplits], monkeypatch: pytest.MonkeyPatch
) -> None:
    # By hand: three classes; of 2, 3 and 4 held-out images all are called class 0, but for two.
    truth = [torch.tensor([0, 1]), torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1, 2])]
    calls = iter([torch.tensor([0, 1]), torch.tensor([0, 0, 0]), torch.tensor([0, 0, 0, 2])])
    training = make([dataclasses.replace(fold, val_labels=labels) for fold, labels in zip(folds, truth, strict=True)])
    sure = torch.tensor([0.1, 0.8, 0.1])
    monkeypatch.setattr(
        Training, "validate", lambda _: torch.stack([sure.roll(call - 1) for call in next(calls).tolist()])
    )
    record = training.run_epoch()
    # Class 0: 4 right of 4, called 7 times, F1 8/11. Class 1: 1 of 3, once, 1/2. Class 2: 1 of 2, once, 2/3.
    assert record.val_macro_f1 == pytest.approx((8 / 11 + 1 / 2 + 2 / 3) / 3)
    assert record.val_accuracy == pytest.approx(6 / 9)
    assert record.val_loss == pytest.approx(-(6 * torch.tensor(0.8).log() + 3 * torch.tensor(0.1).log()).item() / 9)


def test_each_network_predicts_what_it_was_not_trained_on(folds: list[DeviceSplits]) -> None:
    training = make(folds)
    record = run(training, 2)[-1]
    probabilities = training.val_probabilities
    assert probabilities is not None and len(probabilities) == 36
    labels = torch.cat([fold.val_labels for fold in folds])
    assert torch.equal(training.val_labels, labels)
    for number, (part, fold) in enumerate(zip(probabilities.split([9, 12, 15]), folds, strict=True)):
        alone = Training(make_configuration("cnn"), fold, max_epochs=4, seed=3 + number)
        run(alone, 2)
        torch.testing.assert_close(part, alone.val_probabilities)
    predicted = probabilities.argmax(1).numpy()
    assert record.val_macro_f1 == pytest.approx(reference.f1_score(labels.numpy(), predicted, average="macro"))
    assert record.val_loss == pytest.approx(functional.nll_loss(probabilities.log(), labels).item(), rel=1e-4)


def test_the_same_seed_gives_the_same_records(folds: list[DeviceSplits]) -> None:
    first = run(make(folds, **EVERYTHING), 2)
    torch.rand(7)  # what was drawn before in the same process does not matter
    assert run(make(folds, **EVERYTHING), 2) == first
    assert run(make(folds, seed=4, **EVERYTHING), 2) != first


@pytest.mark.parametrize("family", ["cnn", "residual"])
def test_it_goes_on_from_its_checkpoint_as_if_nothing_had_been(folds: list[DeviceSplits], family: str) -> None:
    training = make(folds, family=family, **EVERYTHING | SGD)
    whole = run(training, 4)
    first = make(folds, family=family, **EVERYTHING | SGD)
    assert run(first, 2) == whole[:2]
    state = first.save()
    other = make(folds, family=family, **EVERYTHING | SGD)
    torch.rand(7)
    other.restore(state)
    assert other.epoch == 2
    assert run(other, 2) == whole[2:]
    for ours, theirs in zip(other.networks, training.networks, strict=True):
        assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())


def test_a_checkpoint_of_other_folds_is_refused(folds: list[DeviceSplits]) -> None:
    with pytest.raises(ValueError, match="zip"):
        make(folds).restore(make(folds[:2]).save())


def test_the_first_network_and_its_size_stand_for_all(folds: list[DeviceSplits]) -> None:
    training = make(folds)
    assert training.network is training.networks[0] and len(training.networks) == 3
    assert training.parameters == Training(make_configuration("cnn"), folds[0], max_epochs=1, seed=0).parameters


def test_a_fold_that_diverges_ends_the_training(folds: list[DeviceSplits]) -> None:
    training = make(folds, family="mlnn", **SGD | {"learning_rate": 100.0})
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in epoch \d$"):
        run(training, 4)
