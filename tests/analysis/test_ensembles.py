"""An ensemble is one contender with the mean probabilities of its members; its student is small and taught by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import summarize
from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.training.models import build_network
from bloodtune.tuning.retrained_models import Contender, Retraining
from bloodtune.tuning.retraining_cache import RESULT, Candidate
from candidates import Settings
from contender_labels import DISTILLED, ENSEMBLE, FOUND, PUBLISHED
from engine_fixtures import SIZE, make_configuration, make_split
from ensembles import combine, make_ensemble

COUNTS = (20, 20, 20)


@pytest.fixture(scope="module")
def val() -> Split:
    return make_split(60, seed=2)


def trained(
    cache: Path, label: str, width: int, scores: Sequence[float], epochs: int = 5, origin: str = FOUND
) -> Contender:
    """Return a contender of random networks, one per validation score, kept below ``cache``."""
    configuration = make_configuration("residual", width=width)
    retrainings = []
    for seed, score in enumerate(scores):
        torch.manual_seed(seed)
        network = build_network(configuration, size=SIZE, classes=3, mean=torch.ones(3), deviation=torch.ones(3))
        folder = cache.absolute() / label / f"seed-{seed}"
        Classifier(network, configuration, ("a", "b", "c"), SIZE, 3).save(folder)
        curve = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0 + seed, 0.5], "val_macro_f1": [0.5, score]})
        retrainings.append(Retraining(seed, 2, 2, score, score, 10.0, 100 * width, curve, folder))
    return Contender(label, origin, configuration, epochs, tuple(retrainings), 0.9)


def test_an_ensemble_predicts_the_mean_and_is_scored_as_it_predicts(tmp_path: Path, val: Split) -> None:
    members = trained(tmp_path, "search #1", 8, [0.8, 0.9, 0.7])
    ensemble = make_ensemble(members, val, tmp_path)
    (one,) = ensemble.retrainings
    classifiers = [Classifier.load(member.model) for member in members.retrainings]
    found = Classifier.load(one.model).predict(val.images)
    np.testing.assert_allclose(found, np.mean([c.predict(val.images) for c in classifiers], axis=0), atol=1e-6)
    deployed = np.mean([Deployment(c).predict(val.images) for c in classifiers], axis=0)
    # The views of one image come after the mean over networks or before it: the same mean.
    np.testing.assert_allclose(Deployment(Classifier.load(one.model)).predict(val.images), deployed, atol=1e-5)
    assert (ensemble.label, ensemble.origin) == ("search #1", ENSEMBLE)
    assert one.val_accuracy == pytest.approx((found.argmax(1) == val.labels).mean())
    assert (one.parameters, one.train_seconds) == (2400, 30)
    assert one.curve.train_loss.tolist() == [2.0, 0.5]


def test_an_ensemble_is_made_once(tmp_path: Path, val: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    members = trained(tmp_path, "search #1", 8, [0.8, 0.9])
    first = make_ensemble(members, val, tmp_path)
    monkeypatch.setattr(Classifier, "load", None)
    again = make_ensemble(members, val, tmp_path)
    assert again.retrainings[0].model == first.retrainings[0].model
    assert again.mean_val_macro_f1 == first.mean_val_macro_f1


def test_an_ensemble_whose_result_is_cut_off_is_made_anew(tmp_path: Path, val: Split) -> None:
    members = trained(tmp_path, "search #1", 8, [0.8, 0.9])
    first = make_ensemble(members, val, tmp_path)
    result = first.retrainings[0].model / RESULT
    whole = result.read_bytes()
    result.write_bytes(whole[:20])
    assert make_ensemble(members, val, tmp_path).mean_val_macro_f1 == first.mean_val_macro_f1
    assert result.read_bytes() == whole


def run(tmp_path: Path, val: Split, contenders: list[Contender], **settings: Any) -> tuple[list[Contender], list[Any]]:
    asked = []

    def train(candidates: Sequence[Candidate], seeds: int) -> list[Contender]:
        asked.extend((candidate, seeds) for candidate in candidates)
        return [trained(tmp_path, one.label, 8, [0.9] * seeds, one.epochs, one.origin) for one in candidates]

    dataset: Any = SimpleNamespace(val=val, scored_counts=COUNTS)
    chosen = Settings(top=2, seeds=2, longer=1, epochs=None, workers=None, **settings)
    return combine(contenders, chosen, dataset, tmp_path, train), asked


def test_the_student_is_the_smallest_nearly_as_good_with_the_longer_schedule(tmp_path: Path, val: Split) -> None:
    contenders = [
        trained(tmp_path, "published", 4, [0.99], origin=PUBLISHED),
        trained(tmp_path, "tiny", 5, [0.5]),
        trained(tmp_path, "small", 6, [0.93], epochs=3),
        trained(tmp_path, "best", 8, [0.95], epochs=9),
    ]
    found, asked = run(tmp_path, val, contenders, ensemble=3, distill=True)
    assert [one.origin for one in found] == [ENSEMBLE, DISTILLED]
    (members, count), (student, seeds) = asked
    assert (members.label, members.epochs, count) == ("ensemble of 3: best", 9, 3)
    assert found[0].label == members.label
    assert (student.label, student.epochs, seeds) == ("small, distilled", 9, 2)
    assert student.teacher == found[0].retrainings[0].model


def test_an_ensemble_or_student_that_diverges_is_named(
    tmp_path: Path, val: Split, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    best, settings = trained(tmp_path, "best", 8, [0.9]), Settings(2, 2, 1, None, None, ensemble=2, distill=True)
    dataset: Any = SimpleNamespace(val=val, scored_counts=COUNTS)
    members = trained(tmp_path, "ensemble of 2: best", 8, [0.9, 0.8], origin=ENSEMBLE)
    workers: Any = None
    for answers, expected in (([[]], members.label), ([[members], []], "best, distilled")):
        waiting = iter(answers)
        monkeypatch.setattr(summarize, "retrain", lambda *_, waiting=waiting, **__: next(waiting))
        found = summarize._combine([best], dataset, tmp_path, settings, workers)
        assert len(found) == len(answers) - 1
        said = f"left out, because a retraining diverged in its first epoch: {expected}"
        assert capsys.readouterr().err.splitlines()[-1] == said


def test_there_is_nothing_without_the_flag_or_a_found_contender(tmp_path: Path, val: Split) -> None:
    published = [trained(tmp_path, "published", 4, [0.9], origin=PUBLISHED)]
    assert run(tmp_path, val, published, ensemble=2, distill=True) == ([], [])
    assert run(tmp_path, val, [trained(tmp_path, "best", 8, [0.9])]) == ([], [])
    found, _ = run(tmp_path, val, [trained(tmp_path, "best", 8, [0.9])], ensemble=2)
    assert [one.origin for one in found] == [ENSEMBLE]
