"""One retraining with played epochs: the weights it keeps, folds, divergence and failing GPUs; without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bloodtune.data.folds import held_out_split, join_splits
from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import Numerics
from bloodtune.training.trainer import DivergedError, Training
from bloodtune.tuning import retraining_workers
from bloodtune.tuning.retraining_cache import TrainingJob
from bloodtune.tuning.retraining_workers import Scorer, Trainer, Workers
from engine_fixtures import make_configuration, make_split
from retraining_fixtures import FALLING, NAMES, PlayedTraining, epoch_of_weights, train

FIVE = Split(np.arange(5, dtype=np.uint8), np.zeros(5, np.int64))


# What is kept


@pytest.mark.parametrize("schedule", ["constant", *FALLING])
def test_the_weights_of_the_best_epoch_are_kept(trainer: Trainer, schedule: str) -> None:
    trained = train(trainer, 0.2, 0.8, 0.5, 0.8, 0.7, schedule=schedule, epochs=5)
    assert (trained.result["best_epoch"], epoch_of_weights(trained)) == (2, 2)


def test_a_result_has_the_numbers_that_the_cache_keeps(trainer: Trainer) -> None:
    trained = train(trainer, 0.2, 0.8, epochs=2)
    assert set(trained.result) == {
        *("epochs", "best_epoch", "val_macro_f1", "val_accuracy", "train_seconds", "parameters")
    }
    assert trained.result["parameters"] == 1234
    assert trained.result["train_seconds"] >= 0


def test_the_scores_of_a_result_are_those_of_the_classifier_on_the_validation_split(trainer: Trainer) -> None:
    trained, val = train(trainer, 0.2, 0.8, epochs=2), make_split(6)
    assert trained.classifier is not None
    right = trained.classifier.predict(val.images).argmax(1) == val.labels
    assert trained.result["val_accuracy"] == pytest.approx(right.mean())
    assert trained.result["val_accuracy"] not in (0.2, 0.8), "not those of the epoch"


def test_the_classifier_knows_what_it_was_trained_on(trainer: Trainer) -> None:
    classifier = train(trainer, 0.2, epochs=1).classifier
    assert classifier is not None
    found = (classifier.class_names, classifier.size, classifier.channels, classifier.precision)
    assert found == (NAMES, 12, 3, "bfloat16")


def test_a_teacher_gives_the_probabilities_of_its_network(trainer: Trainer) -> None:
    teacher = train(trainer, 0.5, epochs=1).classifier
    assert teacher is not None
    PlayedTraining.scores = (0.5,)
    trainer.train(TrainingJob(teacher.configuration, 1, 1, Path("a")), teacher)
    images = torch.from_numpy(make_split(9).images).permute(0, 3, 1, 2)
    found = PlayedTraining.asked["teacher"](images)
    torch.testing.assert_close(found, teacher.network(images).softmax(1), atol=0.01, rtol=0)  # in bfloat16
    assert not teacher.network.training


def test_a_training_has_the_seed_and_the_epochs_of_its_job(trainer: Trainer) -> None:
    train(trainer, 0.2, 0.3, 0.4, epochs=3, seed=99)
    assert PlayedTraining.asked == {
        "max_epochs": 3,
        "seed": 99,
        "numerics": Numerics("bfloat16"),
        "recompute_norms": True,
    }


# Folds


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> tuple[Trainer, Split, Split, np.ndarray]:
    """Return a trainer on three folds, whose networks are really trained, with its splits and folds."""
    monkeypatch.setattr(retraining_workers, "prepare_process", lambda device: None)
    train, val, folds = make_split(24), make_split(12, seed=1), np.arange(36) // 3 % 3
    return Trainer(Workers(1, 0.0), train, val, NAMES, folds), train, val, folds


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_with_folds_the_scores_are_of_held_out_images_and_the_network_saw_all(
    folded: tuple[Trainer, Split, Split, np.ndarray], ema: float
) -> None:
    trainer, train, val, folds = folded
    job = TrainingJob(make_configuration("residual", ema=ema, batch_size=8), 4, 5, Path("nowhere"))
    trained = trainer.train(job)
    assert trained.classifier is not None and trained.held_out is not None
    held_out = held_out_split(train, val, folds)
    # One view, in float32: the classifiers of the folds predict as their training validated.
    best = trained.epochs[trained.result["best_epoch"] - 1]
    assert trained.result["val_macro_f1"] == pytest.approx(best.val_macro_f1)
    assert trained.held_out.shape == (36, 3)
    training = FoldedTraining(job.configuration, trainer._splits, max_epochs=4, seed=5, recompute_norms=True)
    while training.epoch < best.epoch:
        training.run_epoch()
    expected = [
        Deployment(trainer._classifier(network, job)).predict(held_out.images[12 * fold : 12 * fold + 12])
        for fold, network in enumerate(training.networks)
    ]
    np.testing.assert_allclose(trained.held_out, np.concatenate(expected), atol=1e-5)
    assert trained.distances is not None and trained.distances.shape == (36,)
    whole = Training(
        job.configuration,
        DeviceSplits.load(join_splits(train, val), val),
        max_epochs=4,
        seed=5,
        recompute_norms=True,
    )
    for _ in range(best.epoch):
        whole.run_epoch()
    weights = trained.classifier.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in whole.network.state_dict().items())


def test_a_training_on_all_images_that_diverges_has_no_model(
    folded: tuple[Trainer, Split, Split, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("training loss is nan in epoch 2")

    monkeypatch.setattr(retraining_workers, "train_whole", diverge)
    trained = folded[0].train(TrainingJob(make_configuration("mlnn"), 2, 5, Path("nowhere")))
    assert trained.result == {"failure": "on all images: training loss is nan in epoch 2"}
    assert trained.classifier is None


# Divergence


def test_a_training_that_diverges_later_keeps_its_best_epoch(trainer: Trainer) -> None:
    trained = train(trainer, 0.3, 0.6, 0.5, None)
    assert (trained.result["epochs"], trained.result["best_epoch"]) == (3, 2)
    assert "failure" not in trained.result
    assert epoch_of_weights(trained) == 2


def test_a_training_that_diverges_at_once_has_no_model(trainer: Trainer) -> None:
    trained = train(trainer, None)
    assert trained.result == {"failure": "training loss is nan in epoch 1"}
    assert (trained.epochs, trained.classifier) == ([], None)


# Workers


def test_workers_with_a_share_of_a_gpu_train_on_it() -> None:
    assert (Workers(2, 0.0).device, Workers(2, 0.25).device) == ("cpu", "cuda")


@pytest.mark.parametrize(("text", "tries"), [("CUDA out of memory", 2), ("CUDA error: no kernel image", 1)])
def test_a_training_that_fails_on_a_gpu_runs_on_a_cpu(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, text: str, tries: int
) -> None:
    load, tried = DeviceSplits.load, []

    def refuse(train: Split, val: Split, device: str) -> DeviceSplits:
        tried.append(device)
        if device == "cuda":
            raise RuntimeError(text)
        return load(train, val, device)

    monkeypatch.setattr(DeviceSplits, "load", refuse)
    trainer._workers = Workers(1, 0.5, Numerics("float16"))
    first, second = (train(trainer, 0.5, 0.6, epochs=2) for _ in range(2))
    assert first.note == f"a retraining failed on the GPU (RuntimeError: {text}) and ran on a CPU"
    assert (first.result["val_macro_f1"], first.result["best_epoch"]) == (second.result["val_macro_f1"], 2)
    assert first.classifier is not None and first.classifier.precision == "float32", "a CPU has no float16"
    assert tried.count("cuda") == tries, "out of memory may be this configuration alone"


def test_a_scorer_whose_gpu_fails_scores_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining_workers, "prepare_process", lambda device: None)
    good: Any = SimpleNamespace(network=nn.Linear(1, 1), predict=lambda images: images / 10)
    monkeypatch.setattr(retraining_workers.Classifier, "load", lambda folder: good)
    bad: Any = SimpleNamespace(network=nn.Linear(1, 1))  # as one that is no longer usable on the GPU
    scorer = Scorer(Workers(1, 0.5), FIVE)
    scorer._device = "meta"
    np.testing.assert_allclose(scorer.score(Path("seed-1"), bad)[1], [0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(scorer.score(Path("seed-2"), good)[1], [0, 0.1, 0.2, 0.3, 0.4])


def test_a_scorer_returns_the_probabilities_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining_workers, "prepare_process", lambda device: None)
    classifier: Any = SimpleNamespace(network=nn.Linear(1, 1), predict=lambda images: images / 10)
    folder, probabilities = Scorer(Workers(1, 0.0), FIVE).score(Path("seed-1"), classifier)
    assert folder == Path("seed-1")
    np.testing.assert_allclose(probabilities, [0, 0.1, 0.2, 0.3, 0.4])
    assert next(classifier.network.parameters()).device == torch.device("cpu")
