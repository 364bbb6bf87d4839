"""bloodtune.training.metrics against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from bloodtune.training import metrics


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.choice(5, 300, p=[0.4, 0.3, 0.2, 0.05, 0.05])
    predicted = np.where(generator.random(300) < 0.7, labels, generator.integers(0, 5, 300))
    return labels, predicted


def test_confusion_matrix_has_truth_in_rows() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_confusion_matrix_takes_small_unsigned_labels() -> None:
    labels = np.array([199], dtype=np.uint8)
    assert metrics.confusion_matrix(labels, labels, 200)[199, 199] == 1


def test_scores_agree_with_scikit_learn(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predicted = predictions
    matrix = metrics.confusion_matrix(labels, predicted, 5)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(labels, predicted))
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.macro_f1(matrix) == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert metrics.weighted_f1(matrix) == pytest.approx(reference.f1_score(labels, predicted, average="weighted"))
    assert metrics.weighted_precision(matrix) == pytest.approx(
        reference.precision_score(labels, predicted, average="weighted")
    )
    expected = reference.precision_recall_fscore_support(labels, predicted)
    for ours, theirs in zip(metrics.per_class(matrix), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_scores_keep_leading_dimensions(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predicted = predictions
    one = metrics.confusion_matrix(labels, predicted, 5)
    many = np.stack([[one, one.T, 2 * one], [one, one, one]])
    for score in (metrics.accuracy, metrics.macro_f1, metrics.weighted_f1, metrics.weighted_precision):
        assert score(many).shape == (2, 3)
        assert score(many)[0, 1] == pytest.approx(score(one.T))
        assert score(many)[0, 2] == pytest.approx(score(one))
    assert [part.shape for part in metrics.per_class(many)] == [(2, 3, 5)] * 4


def test_scores_count_an_empty_class_as_zero() -> None:
    matrix = np.array([[3, 0, 0], [1, 2, 0], [0, 0, 0]])
    precision, recall, f1, support = metrics.per_class(matrix)
    assert (precision[2], recall[2], f1[2], support[2]) == (0, 0, 0, 0)
    assert metrics.macro_f1(matrix) == pytest.approx((6 / 7 + 4 / 5 + 0) / 3)
    assert metrics.accuracy(np.zeros((3, 3))) == 0


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([0, 1], [0], r"labels \(2,\) and predicted \(1,\): both must have the same shape \(N,\)"),
        ([[0]], [[0]], r"labels \(1, 1\) and predicted \(1, 1\): both must have the same shape"),
        ([0, 3], [0, 1], "labels from 0 to 3: allowed from 0 to 2"),
        ([0, 1], [-1, 1], "predicted from -1 to 1: allowed from 0 to 2"),
    ],
)
def test_confusion_matrix_refuses(labels: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(labels), np.array(predicted), 3)
