"""Scores of an evaluation, compared with scikit-learn's and with cases that are known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn import metrics

from bloodtune.inference.class_names import find_class
from bloodtune.inference.evaluation import Evaluation
from bloodtune.training.metrics import Interval
from model_fixtures import BLOOD


def make(labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...], threshold: float = 0.5) -> Evaluation:
    return Evaluation(names, labels, probabilities, threshold, Counter())


def random_case(images: int = 300, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, images)
    logits = generator.normal(size=(images, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_scores_are_scikit_learns_with_intervals_around_them() -> None:
    labels, probabilities = random_case()
    evaluation = make(labels, probabilities, ("a", "b", "c", "d"))
    predicted = probabilities.argmax(1)
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "kept": (probabilities.max(1) >= 0.5).mean(),
        "kept_accuracy": (predicted == labels)[probabilities.max(1) >= 0.5].mean(),
    }
    for name, value in expected.items():
        score = evaluation.scores[name]
        assert isinstance(score, Interval)
        assert score.value == pytest.approx(value)
        assert score.low < value < score.high
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    for index, row in enumerate(evaluation.classes):
        assert row["images"] == support[index]
        found = [row[name].value for name in ("precision", "recall", "f1")]
        assert found == pytest.approx([precision[index], recall[index], f1[index]])
        assert row["f1"].low < row["f1"].value < row["f1"].high
    assert evaluation.scores == make(labels, probabilities, ("a", "b", "c", "d")).scores, "the same twice"


def test_the_bootstrap_interval_of_accuracy_is_near_wilsons() -> None:
    labels, probabilities = random_case(2000)
    found = make(labels, probabilities, ("a", "b", "c", "d")).scores["accuracy"]
    assert found is not None
    error = np.sqrt(found.value * (1 - found.value) / 2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_model_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    labels = np.array([0] * 80 + [1] * 20)
    sure = make(labels, np.tile([0.8, 0.2], (100, 1)), ("a", "b")).scores["calibration_error"]
    over = make(labels, np.tile([0.95, 0.05], (100, 1)), ("a", "b")).scores["calibration_error"]
    assert sure is not None and over is not None
    assert sure.value == pytest.approx(0) and over.value == pytest.approx(0.15)
    assert over.low < 0.15 < over.high


def test_macro_f1_is_over_the_classes_with_images_and_others_count_as_errors() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    evaluation = make(labels, probabilities, ("a", "b", "c"))
    assert evaluation.scores["accuracy"].value == 0.75  # type: ignore[union-attr]
    assert evaluation.scores["macro_f1"].value == pytest.approx((1 + 2 / 3) / 2)  # type: ignore[union-attr]
    assert [row["class"] for row in evaluation.classes] == ["a", "b"]
    assert evaluation.absent == ("c",)
    assert "without an image here: c; predictions of them count as errors: 1" in evaluation.notes()[0]


def test_nothing_kept_has_no_accuracy() -> None:
    labels, probabilities = random_case(20)
    scores = make(labels, probabilities, ("a", "b", "c", "d"), threshold=1.1).scores
    assert scores["kept"].value == 0 and scores["kept_accuracy"] is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("label", "index"),
    [("Neutrophils", 6), ("immature_granulocyte", 3), ("ig", 3), ("IG", 3), (" PLATELET", 7), ("blast", None)],
)
def test_a_class_is_found_by_its_usual_spellings(label: str, index: int | None) -> None:
    assert find_class(label, BLOOD) == index


def test_of_several_classes_of_one_cell_each_has_its_own_name_alone() -> None:
    names = ("BNE", "SNE", "lymphocyte")
    found = [find_class(label, names) for label in ("BNE", "sne", "neutrophil", "Seg", "ly")]
    assert found == [0, 1, None, None, 2]
