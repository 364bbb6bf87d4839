"""The warm worker, driven as Tune drives it but without Ray."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bloodtune.inference.classifier import Classifier
from bloodtune.inference.predictor import Predictor
from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.records import EpochRecord
from bloodtune.training.cross_validation import FoldedTraining
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import Training
from bloodtune.tuning import worker as trainable
from bloodtune.tuning.worker import WarmWorker
from engine_fixtures import make_split
from worker_fixtures import ASHA, config, make_worker


def same(epoch: EpochRecord) -> EpochRecord:
    """Return what does not depend on the clock."""
    return dataclasses.replace(epoch, seconds=0.0)


def training_of(**changes: Any) -> Training:
    split = make_split(48, size=8)
    configuration = config(**changes)["configuration"]
    return Training(configuration, DeviceSplits.load(split, split), max_epochs=9, seed=1)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> WarmWorker:
    monkeypatch.setattr(trainable, "REPORT_SECONDS", math.inf)  # on a slow machine too
    return make_worker()


def test_step_reports_at_each_rung_and_at_the_end(worker: WarmWorker) -> None:
    reports = [worker.step() for _ in range(3)]
    assert [[epoch.epoch for epoch in report["epochs"]] for report in reports] == [
        [1, 2],
        [3, 4, 5, 6],
        [7, 8, 9],
    ]
    assert [report["epoch"] for report in reports] == [2, 6, 9]
    assert [report["done"] for report in reports] == [False, False, True]
    assert reports[0]["val_macro_f1"] == reports[0]["epochs"][-1].val_macro_f1
    assert reports[0]["parameters"] > 0


def test_step_reports_between_rungs_when_epochs_take_long(worker: WarmWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainable, "REPORT_SECONDS", 0.0)
    assert [worker.step()["epoch"] for _ in range(3)] == [1, 2, 3]


def test_a_loss_that_is_not_finite_ends_the_trial_and_not_the_worker(worker: WarmWorker) -> None:
    assert worker.reset_config(config(optimizer="sgd", momentum=0.9, nesterov=False, learning_rate=90.0))
    report = worker.step()
    assert report["done"]
    assert "loss is" in report["failure"]
    assert "val_macro_f1" not in report
    assert worker.reset_config(config())
    assert worker.step()["failure"] is None


def test_an_exception_ends_the_trial_with_its_message_in_one_line(
    worker: WarmWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("bloodtune.training.trainer.Training", explode)
    worker.reset_config(config())
    report = worker.step()
    assert (report["done"], report["failure"]) == (True, "RuntimeError: out of memory")
    assert report["epochs"] == []


@pytest.mark.parametrize(
    ("text", "told", "lives"),
    [
        (
            "CUDA out of memory. Tried",
            "RuntimeError: CUDA out of memory. Tried; a larger --gpus-per-trial gives",
            True,
        ),
        ("CUDA error: an illegal\nmemory access", "RuntimeError: CUDA error: an illegal memory access", False),
    ],
)
def test_an_error_on_a_gpu_is_told_and_ends_the_process_with_the_next_trial(
    worker: WarmWorker, monkeypatch: pytest.MonkeyPatch, text: str, told: str, lives: bool
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(Training, "run_epoch", explode)
    worker._device = "cuda"
    report = worker.step()
    assert report["done"]
    assert report["failure"].startswith(told)
    if lives:
        assert worker.reset_config(config())
    else:
        with pytest.raises(RuntimeError, match="this process ends"):
            worker.reset_config(config())


def test_reset_config_starts_from_nothing(worker: WarmWorker) -> None:
    first = worker.step()["epochs"]
    worker.reset_config(config(learning_rate=0.001))
    worker.step()
    worker.reset_config(config())
    again = worker.step()["epochs"]
    assert [e.train_loss for e in again] == [e.train_loss for e in first]


def test_a_worker_goes_on_from_the_checkpoint_of_another() -> None:
    changes = {"dropout": 0.3, "dihedral": True, "shift": 1, "ema": 0.1, "schedule": "one_cycle"}
    first = make_worker()
    first.reset_config(config(**changes))
    first.step()
    report = first.step()
    checkpoint = report["checkpoint"]
    assert (checkpoint.epoch, checkpoint.parameters) == (6, report["parameters"])
    last = first.step()
    assert "checkpoint" not in last, "a trial that has ended needs none"
    second = make_worker()
    second.reset_config(config(**changes) | {"checkpoint": checkpoint})
    assert [same(epoch) for epoch in second.step()["epochs"]] == [same(epoch) for epoch in last["epochs"]]
    second.reset_config(config(**changes))
    assert second.step()["epochs"][0].epoch == 1, "a checkpoint is that of one trial"


def test_with_folds_a_trial_is_scored_on_all_images_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    folds = np.repeat(np.arange(4), 24)  # of the 48 training images, then of the same images as validation
    first = make_worker(folds=folds)
    first._checkpoint_every = 0.0
    report = first.step()
    assert isinstance(first._training, FoldedTraining) and len(first._training.val_labels) == 96
    for name, content in report["model"].contents.items():
        (tmp_path / name).write_bytes(content)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["search"]["folds"] == 4
    assert card["search"]["macro_f1"] == report["val_macro_f1"]
    second = make_worker(folds=folds)
    second.reset_config(config() | {"checkpoint": report["checkpoint"]})
    assert [same(epoch) for epoch in second.step()["epochs"]] == [same(epoch) for epoch in first.step()["epochs"]]


def test_a_report_at_a_rung_has_a_checkpoint_and_another_one_only_when_it_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainable, "REPORT_SECONDS", 0.0)
    worker = make_worker()
    assert ["checkpoint" in worker.step() for _ in range(9)] == [epoch in (2, 6) for epoch in range(1, 10)]
    worker.reset_config(config())
    worker._checkpoint_every = 0.0
    assert ["checkpoint" in worker.step() for _ in range(9)] == [True] * 8 + [False]


def test_a_trial_ends_at_the_last_rung_with_the_schedule_of_all_epochs(worker: WarmWorker) -> None:
    whole = [same(epoch) for _ in range(2) for epoch in worker.step()["epochs"]]
    worker._asha = dataclasses.replace(ASHA, last_rung=6)
    worker.reset_config(config())
    first, last = worker.step(), worker.step()
    assert [same(epoch) for report in (first, last) for epoch in report["epochs"]] == whole
    assert (first["done"], last["done"]) == (False, True)
    assert ("checkpoint" in first, "checkpoint" in last) == (True, False)
    assert "model" in last


def test_a_worker_sends_no_checkpoint_back_that_it_was_given(worker: WarmWorker) -> None:
    checkpoint = worker.step()["checkpoint"]
    worker.config = config() | {"checkpoint": checkpoint}  # as Tune's own class keeps it and adds it to reports
    worker.reset_config(worker.config)
    assert "checkpoint" not in worker.config
    assert worker.step()["epochs"][0].epoch == 3


@pytest.mark.parametrize("damage", ["of another network", "not torch's"])
def test_a_checkpoint_that_cannot_be_used_is_as_none(worker: WarmWorker, damage: str) -> None:
    whole = worker.step()["epochs"]
    state = b"PK" if damage == "not torch's" else training_of(width=8).save()
    worker.reset_config(config() | {"checkpoint": Checkpoint(2, state)})
    assert [same(epoch) for epoch in worker.step()["epochs"]] == [same(epoch) for epoch in whole]


def test_with_profile_a_report_says_where_its_time_went() -> None:
    worker = make_worker(profile=True)
    first = worker.step()["parts"]
    assert set(first) == {"load", "start", "augment", "forward and backward", "validate"}
    assert min(first.values()) > 0
    worker.reset_config(config())
    second = worker.step()["parts"]
    assert set(second) == {"start", "augment", "forward and backward", "validate"}, "between trials: start"
    assert "report" in worker.step()["parts"], "within a trial: report"
    assert min(second.values()) > 0
    assert "parts" not in make_worker().step()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
@pytest.mark.parametrize("profile", [False, True])
def test_a_device_that_does_not_work_is_told_in_the_first_report(profile: bool) -> None:
    report = make_worker(profile=profile, device="cuda").step()
    assert report["done"]
    assert report["broken"]


def test_a_report_has_a_model_at_each_rung_while_the_trial_may_be_the_best(tmp_path: Path) -> None:
    worker = make_worker()
    reports = [worker.step() for _ in range(3)]
    assert all("model" in report for report in reports)
    for name, content in reports[-1]["model"].contents.items():
        (tmp_path / name).write_bytes(content)
    card = json.loads((tmp_path / "model.json").read_text())
    assert (card["run"], card["label"], card["class_names"]) == ("one", "trial 0", ["a", "b", "c"])
    assert (card["search"]["trial"], card["search"]["epoch"]) == (0, 9)
    last = reports[-1]["epochs"][-1]
    assert (card["search"]["macro_f1"], card["search"]["accuracy"]) == (last.val_macro_f1, last.val_accuracy)
    predictor = Predictor.load(tmp_path)
    assert predictor.untested
    assert predictor.threshold == card["threshold"]
    assert worker._training is not None
    weights = Classifier.load(tmp_path).network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in worker._training.network.state_dict().items())


def test_the_model_is_the_average_of_the_weights_where_there_is_one(worker: WarmWorker, tmp_path: Path) -> None:
    worker.reset_config(config(ema=0.5))
    for name, content in worker.step()["model"].contents.items():
        (tmp_path / name).write_bytes(content)
    assert worker._training is not None
    average, trained = worker._training.network.state_dict(), worker._training._trained.state_dict()
    weights = Classifier.load(tmp_path).network.state_dict()
    name = next(name for name in weights if name.endswith("weight"))
    assert torch.equal(weights[name], average[name]) and not torch.equal(weights[name], trained[name])


def test_a_report_has_no_model_between_rungs_nor_below_the_best_score(
    worker: WarmWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.reset_config(config() | {"to_beat": 1.0})
    assert all("model" not in worker.step() for _ in range(3))
    monkeypatch.setattr(trainable, "REPORT_SECONDS", 0.0)
    worker.reset_config(config())
    assert ["model" in worker.step() for _ in range(4)] == [False, True, False, False]


def test_a_score_above_the_best_one_before_the_rung_brings_the_model(
    worker: WarmWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "REPORT_SECONDS", 0.0)
    scores = [worker.step()["val_macro_f1"] for _ in range(6)]
    worker.reset_config(config() | {"to_beat": max(scores) - 1e-9})
    assert ["model" in worker.step() for _ in range(6)][-1]
