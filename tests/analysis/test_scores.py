"""analysis/scores.py: scores, bootstrap, McNemar and Holm, against references and by hand."""

import numpy as np
import pytest
from medmnist.evaluator import getACC, getAUC
from sklearn.metrics import roc_auc_score

from bloodtune.training.metrics import Interval
from scores import METRICS, auc, matrix_intervals, measure, score_intervals, scores
from significance import McNemar, accuracy_difference, holm, mcnemar
from summary_fixtures import fake_contenders


def test_scores_agree_with_medmnist() -> None:
    tested, labels, _ = fake_contenders()
    probabilities = tested[0].median_probabilities
    found = scores(labels, probabilities)
    assert tuple(found) == METRICS
    assert found["auc"] == pytest.approx(getAUC(labels, probabilities, "multi-class"), abs=1e-12)
    assert found["accuracy"] == pytest.approx(getACC(labels, probabilities, "multi-class"))


def test_auc_agrees_with_medmnist_on_two_classes() -> None:
    tested, labels, _ = fake_contenders(classes=2, images=156)
    probabilities = tested[0].median_probabilities
    assert auc(labels, probabilities) == pytest.approx(getAUC(labels, probabilities, "binary-class"), abs=1e-6)


def test_auc_counts_ties_half() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    probabilities = np.round(generator.dirichlet(np.ones(3), 200), 1)
    expected = np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in range(3)])
    assert auc(labels, probabilities) == pytest.approx(expected, abs=1e-12)


def test_auc_leaves_an_absent_class_out() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    assert auc(labels, probabilities) == pytest.approx((0.75 + 0.75) / 2)


def test_score_intervals_hold_the_score_and_repeat_with_the_seed() -> None:
    tested, labels, _ = fake_contenders()
    probabilities = tested[4].median_probabilities
    first = score_intervals(labels, probabilities, np.random.default_rng(1), resamples=300)
    again = score_intervals(labels, probabilities, np.random.default_rng(1), resamples=300)
    other = score_intervals(labels, probabilities, np.random.default_rng(2), resamples=300)
    assert first == again != other
    assert tuple(first) == METRICS
    exact = scores(labels, probabilities)
    for name, interval in first.items():
        assert interval.value == exact[name]
        assert interval.low < interval.value < interval.high <= 1


def test_score_intervals_of_auc_are_those_of_resampled_images() -> None:
    tested, labels, _ = fake_contenders(images=150)
    probabilities = tested[0].median_probabilities
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        picked = generator.integers(0, len(labels), len(labels))
        if len(np.unique(labels[picked])) == 8:
            drawn.append(auc(labels[picked], probabilities[picked]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = score_intervals(labels, probabilities, np.random.default_rng(3), resamples=2000)["auc"]
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)


def test_matrix_intervals_cover_the_truth() -> None:
    generator = np.random.default_rng(0)
    shares = np.array([[0.45, 0.05], [0.1, 0.4]])
    covered = 0
    for _ in range(300):
        matrix = generator.multinomial(400, shares.ravel()).reshape(2, 2)
        interval = matrix_intervals(matrix, generator, resamples=300)["accuracy"]
        covered += interval.low <= 0.85 <= interval.high
    assert 0.91 <= covered / 300 <= 0.98


def test_matrix_intervals_have_the_binomial_width() -> None:
    matrix = np.diag([1600, 1600]) + np.array([[0, 100], [121, 0]])
    interval = matrix_intervals(matrix, np.random.default_rng(0), resamples=4000)["accuracy"]
    share = 3200 / 3421
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 3421), rel=0.05)


def test_mcnemar_by_hand() -> None:
    labels = np.zeros(12, dtype=int)
    first = np.array([0] * 4 + [1] * 8)
    second = np.array([0] * 3 + [1] + [0] * 7 + [1])
    result = mcnemar(labels, first, second)
    # b = 1, c = 7: twice the binomial tail (1 + 8) / 2^8.
    assert result == McNemar(1, 7, pytest.approx(2 * 9 / 256))
    assert mcnemar(labels, second, first) == McNemar(7, 1, pytest.approx(2 * 9 / 256))


def test_mcnemar_of_equal_predictions_is_one() -> None:
    labels = np.array([0, 1, 2])
    assert mcnemar(labels, labels, labels) == McNemar(0, 0, 1.0)
    assert mcnemar(labels, np.array([0, 2, 2]), np.array([0, 0, 2])) == McNemar(0, 0, 1.0)


def test_accuracy_difference_has_the_sign_of_the_second() -> None:
    interval = accuracy_difference(McNemar(10, 60, 0.0), 1000, np.random.default_rng(0))
    assert interval.value == pytest.approx(0.05)
    assert 0.03 < interval.low < 0.05 < interval.high < 0.07


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_measure_has_the_median_seed_and_all_seeds() -> None:
    tested, labels, _ = fake_contenders()
    found = measure(tested[0], labels, np.random.default_rng(0), resamples=50)
    median = tested[0].contender.median
    assert [len(values) for values in found.seeds.values()] == [3] * 5
    assert found.intervals["macro_f1"].value == pytest.approx(found.seeds["macro_f1"][median])
    assert isinstance(found.intervals["auc"], Interval)


def test_intervals_are_finite_where_resamples_lack_a_class() -> None:
    labels = np.array([1] + [0] * 30)
    probabilities = np.random.default_rng(0).dirichlet([1, 1], len(labels))
    found = score_intervals(labels, probabilities, np.random.default_rng(0), 200)
    assert np.isfinite([bound for interval in found.values() for bound in interval]).all()
