"""The threshold below which a model is unsure, and what a summary says of its models."""

import dataclasses

import numpy as np
import pytest

from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.confidence import keep_threshold, with_temperature
from bloodtune.inference.deployment_scores import judge_deployment
from bloodtune.training.models.ensemble import Ensemble
from model_fixtures import draw_tiles, make_classifier


def probabilities(confidence: list[float], right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of two classes, of which the first is predicted, and labels."""
    return np.array([[c, 1 - c] for c in confidence]), np.array([0 if one else 1 for one in right])


def test_the_threshold_keeps_as_many_images_as_it_can() -> None:
    found, labels = probabilities([0.99, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, True])
    assert keep_threshold(found, labels, 1.0) == 0.9
    assert keep_threshold(found, labels, 0.75) == 0.6  # 4 of 5, though only 2 of 3 at .8
    assert keep_threshold(found, labels, 0.85) == 0.9


def test_images_of_equal_confidence_are_kept_or_left_together() -> None:
    found, labels = probabilities([0.9, 0.8, 0.8], [True, True, False])
    assert keep_threshold(found, labels, 1.0) == 0.9


def test_nothing_is_kept_where_not_even_the_surest_are_right() -> None:
    found, labels = probabilities([0.9, 0.8], [False, False])
    assert keep_threshold(found, labels, 0.99) > 1
    assert keep_threshold(*probabilities([1.0, 1.0], [True, False]), 0.99) > 1, "as sure as can be, and wrong"


def test_a_model_is_described_as_it_is_used() -> None:
    classifier, images = make_classifier(), draw_tiles(200)
    predicted = classifier.predict(images).argmax(1)
    noisy, least = predicted.copy(), np.sort(classifier.predict(images), axis=1)[:, -1].argsort()[:10]
    noisy[least] = (noisy[least] + 1) % 8  # ten wrong ones, of which the model is least sure
    train, test = Split(images, predicted), Split(images[:50], predicted[:50])
    used, guard = judge_deployment(classifier, train, Split(images, noisy), test)
    assert used["used_val"]["accuracy"] == pytest.approx(0.95, abs=0.01)
    assert used["used_val"]["kept_accuracy"] >= 0.99
    assert used["used_val"]["kept"] == pytest.approx(0.95, abs=0.01)
    assert used["used_val"]["passed"] == pytest.approx(0.97, abs=0.006)
    assert guard.knows(Deployment(classifier).examine(images)[1]).mean() == used["used_val"]["passed"]


def test_an_ensemble_has_no_guard() -> None:
    classifier, images = make_classifier(), draw_tiles(20)
    split = Split(images, classifier.predict(images).argmax(1))
    ensemble = dataclasses.replace(classifier, network=Ensemble([classifier.network, make_classifier().network]))
    used, guard = judge_deployment(ensemble, split, split, split)
    assert guard is None
    assert used["used_val"]["passed"] is used["used_test"]["passed"] is None


def test_with_folds_the_threshold_rests_on_the_held_out_predictions() -> None:
    classifier, images = make_classifier(), draw_tiles(20)
    labels = classifier.predict(images).argmax(1)
    held_out = np.full((20, 8), 0.01)
    held_out[np.arange(20), labels] = np.linspace(0.5, 0.9, 20)
    split = Split(images, labels)
    used, _ = judge_deployment(classifier, split, split, split, held_out)
    assert used["threshold"] == with_temperature(held_out, used["temperature"]).max(1).min()
    assert (used["used_val"]["kept"], used["used_val"]["kept_accuracy"]) == (1, 1)
    assert used["used_test"]["accuracy"] == pytest.approx(1, abs=0.02)


def test_without_a_test_split_the_guards_limit_may_rest_on_distances_of_held_out_images() -> None:
    classifier, images = make_classifier(), draw_tiles(40)
    split = Split(images, classifier.predict(images).argmax(1))
    used, guard = judge_deployment(classifier, split, split, None, distances=np.arange(101.0))
    assert "used_test" not in used
    assert guard.limit == pytest.approx(97)


def test_images_are_examined_by_their_numbers() -> None:
    deployment, images, rows = Deployment(make_classifier()), draw_tiles(200), np.array([3, 150, 70])
    for some, all_of_them in zip(deployment.examine(images, rows), deployment.examine(images), strict=True):
        np.testing.assert_allclose(some, all_of_them[rows], atol=1e-5)
