"""The threshold below which a model is unsure, and what a summary says of its models."""

import dataclasses

import numpy as np
import pytest

from bloodtune.data.npz import Split
from bloodtune.inference import calibrated_network, deployment_scores
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.confidence import keep_threshold, with_temperature
from bloodtune.inference.deployment_scores import held_out_distances, judge_deployment
from bloodtune.inference.out_of_distribution import Guard
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


def make_ensemble(*, members: int = 2, family: str = "residual") -> Classifier:
    """Return an ensemble whose networks have the same shape and other weights."""
    networks = []
    for number in range(members):
        network = make_classifier(family).network
        for parameter in network.parameters():
            parameter.data *= 1 + 0.1 * number
        networks.append(network)
    return dataclasses.replace(make_classifier(family), network=Ensemble(networks))


def test_the_guard_of_an_ensemble_judges_the_features_of_all_its_networks() -> None:
    ensemble, images = make_ensemble(), draw_tiles(200)
    split = Split(images, ensemble.predict(images).argmax(1))
    used, guard = judge_deployment(ensemble, split, split, split)
    assert guard is not None
    members = [Deployment(dataclasses.replace(ensemble, network=one)) for one in ensemble.network.networks]
    features = Deployment(ensemble).examine(images)[1]
    np.testing.assert_allclose(features, np.hstack([one.examine(images)[1] for one in members]), rtol=1e-4, atol=1e-4)
    assert guard.means.shape == (len(np.unique(split.labels)), sum(one.features for one in members))
    assert used["used_val"]["passed"] == used["used_test"]["passed"] == pytest.approx(0.97, abs=0.006)
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 3), dtype=np.uint8)
    assert guard.knows(Deployment(ensemble).examine(noise)[1]).mean() < 0.1


def test_an_ensemble_with_too_many_features_is_judged_by_its_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, images = make_ensemble(members=3), draw_tiles(20)
    expected = Deployment(ensemble).predict(images)
    monkeypatch.setattr(calibrated_network, "_MOST_FEATURES", Deployment(ensemble).features - 1)
    deployment = Deployment(ensemble)
    probabilities, features = deployment.examine(images)
    assert features.shape == (20, deployment.features) == (20, 24)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


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


def test_distances_of_held_out_images_come_from_networks_that_did_not_see_them() -> None:
    network, images = Deployment(make_classifier()), draw_tiles(90)
    labels = network.predict(images).argmax(1)
    cuts = [(slice(30, 90), slice(0, 30)), (slice(0, 60), slice(60, 90))]
    folds = [(network, *(Split(images[rows], labels[rows]) for rows in cut)) for cut in cuts]
    features = network.examine(images)[1]
    expected = [Guard.fit(features[seen], labels[seen], features[out]).distances(features[out]) for seen, out in cuts]
    np.testing.assert_allclose(held_out_distances(folds), np.concatenate(expected), rtol=1e-3)


def test_the_first_folds_with_enough_images_set_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment_scores, "_LIMIT_IMAGES", 35)
    network, split = Deployment(make_classifier()), Split(draw_tiles(20), np.arange(20) % 8)
    assert len(held_out_distances([(network, split, split)] * 3)) == 40


def test_images_are_examined_by_their_numbers() -> None:
    deployment, images, rows = Deployment(make_classifier()), draw_tiles(200), np.array([3, 150, 70])
    for some, all_of_them in zip(deployment.examine(images, rows), deployment.examine(images), strict=True):
        np.testing.assert_allclose(some, all_of_them[rows], atol=1e-5)
