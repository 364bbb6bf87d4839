"""The figures of the classification: confusion matrices, samples, predictions, and details of training losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bloodtune.tuning.retrained_models import Contender, TestedContender
from contender_fixtures import CNN, LABELS, MARK, MLNN, NAMES, random_images
from figure_fixtures import texts_of
from figures.classification import confusion_matrices, first_samples, predictions, training_loss
from figures.style import short_class_names
from scores import predicted_matrix
from summary_fixtures import fake_contenders

CONTENDER = fake_contenders(images=20)[0][0].contender


def trained(*losses: float, best: int = 1, label: str = "search #1") -> Contender:
    """Return a contender of one seed with these training losses."""
    curve = pd.DataFrame({"epoch": np.arange(1, len(losses) + 1), "train_loss": losses})
    one = dataclasses.replace(CONTENDER.retrainings[0], curve=curve, best_epoch=best)
    return dataclasses.replace(CONTENDER, label=label, retrainings=(one,))


def model_of(matrix: list[list[int]], label: str = "search #1") -> tuple[TestedContender, np.ndarray]:
    """Return a contender whose confusion matrix is this one, and the labels of the test images."""
    counts = np.array(matrix)
    rows, columns = np.indices(counts.shape)
    labels, predicted = (index.ravel().repeat(counts.ravel()) for index in (rows, columns))
    probabilities = np.eye(len(counts))[predicted][np.newaxis]
    return TestedContender(trained(1.0, label=label), probabilities), labels


def visible(panels: list[Axes]) -> list[bool]:
    return [axes.get_visible() for axes in panels]


def circles_of(axes: Axes) -> list[list[Any]]:
    """Return the places of the circles of a panel, [epochs, losses]."""
    (circle,) = [line for line in axes.lines if line.get_marker() == "o"]
    return [np.asarray(circle.get_xdata()).tolist(), np.asarray(circle.get_ydata()).tolist()]


def draw_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


# Training loss


def test_a_circle_marks_the_epoch_whose_weights_are_kept() -> None:
    drawn = training_loss("CNN", [trained(3.0, 2.0, 1.0, best=2)], "")
    assert circles_of(drawn.figure.axes[0]) == [[2], [2.0]]


def test_a_best_epoch_that_the_curve_lacks_has_no_circle() -> None:
    drawn = training_loss("CNN", [trained(3.0, 2.0, best=5)], "")
    assert circles_of(drawn.figure.axes[0]) == [[], []]


def test_a_curve_of_one_epoch_is_a_point() -> None:
    (seed,) = [line for line in training_loss("CNN", [trained(3.0)], "").figure.axes[0].lines if line.get_gid()]
    assert (seed.get_marker(), np.asarray(seed.get_ydata()).tolist()) == (".", [3.0])


def test_losses_are_drawn_from_zero_and_only_outer_panels_have_labels() -> None:
    drawn = training_loss("CNN", [trained(3.0, 2.0)] * 3, "")
    panels = drawn.figure.axes
    assert visible(panels) == [True, True, True, False]
    assert {axes.get_ylim()[0] for axes in panels} == {0.0}
    assert [axes.get_ylabel() for axes in panels[:3]] == ["training loss", "", "training loss"]
    assert [axes.get_xlabel() for axes in panels[:3]] == ["", "epoch", "epoch"], "none is below the second one"


def test_the_caption_counts_the_seeds_of_the_contender_that_has_most() -> None:
    drawn = training_loss("CNN", [trained(3.0), CONTENDER], "")
    assert drawn.caption == (
        "CNN: training loss of 2 configurations, 3 seeds (thin) and their mean (thick, to the end of the shortest)."
    )


# Confusion matrices


def test_confusion_matrices_of_nothing_say_so() -> None:
    with pytest.raises(ValueError, match=r"^confusion_matrices: nothing to draw, at least one contender is needed$"):
        confusion_matrices("CNN", [], np.array([0]), ["a", "b"], "")


def test_a_cell_has_the_colour_of_its_share_of_the_row() -> None:
    one, labels = model_of([[3, 1], [0, 8]])
    drawn = confusion_matrices("CNN", [one], labels, ["a", "b"], "")
    (image,) = drawn.figure.axes[0].images
    np.testing.assert_allclose(np.asarray(image.get_array()), [[0.75, 0.25], [0.0, 1.0]])
    assert image.get_clim() == (0, 1)


def test_a_class_without_images_has_shares_of_zero() -> None:
    one, labels = model_of([[3, 1, 0], [0, 8, 0], [0, 0, 0]])
    drawn = confusion_matrices("CNN", [one], labels, ["a", "b", "c"], "")
    np.testing.assert_array_equal(np.asarray(drawn.figure.axes[0].images[0].get_array())[2], 0)


def test_counts_are_white_on_dark_cells_and_grey_where_they_are_zero() -> None:
    one, labels = model_of([[3, 1], [0, 8]])
    drawn = confusion_matrices("CNN", [one], labels, ["a", "b"], "")
    colours = {text.get_text(): mpl.colors.to_hex(text.get_color()) for text in drawn.figure.axes[0].texts}
    assert colours == {"3": "#ffffff", "1": "#000000", "0": "#7f7f7f", "8": "#ffffff"}


def test_the_caption_and_the_note_have_the_images_and_the_accuracies() -> None:
    one, labels = model_of([[600, 400], [0, 1000]])
    drawn = confusion_matrices("CNN", [one], labels, ["a", "b"], "")
    assert drawn.caption == "CNN: confusion matrix on the 2,000 test images (counts, rows actual, columns predicted)."
    assert "Accuracy 80.0 %. The matrix is of the seed that is median on validation." in drawn.note
    other, _ = model_of([[500, 500], [0, 1000]], "search #2")
    other = dataclasses.replace(other, probabilities=np.eye(2)[np.zeros(2000, dtype=int)][np.newaxis])
    drawn = confusion_matrices("CNN", [one, other], labels, ["a", "b"], "")
    assert "Accuracy 80.0 %, 50.0 %. Each matrix is of the seed that is median on validation." in drawn.note


def test_one_matrix_needs_no_title_of_its_own() -> None:
    one, labels = model_of([[3, 1], [0, 8]])
    assert confusion_matrices("CNN", [one], labels, ["a", "b"], "").figure.axes[0].get_title() == ""
    two = confusion_matrices("CNN", [one, one], labels, ["a", "b"], "").figure.axes
    assert [axes.get_title() for axes in two[:2]] == ["search #1", "search #1"]


def test_the_note_explains_names_that_were_shortened() -> None:
    one, labels = model_of([[3, 1], [0, 8]])
    names = ["colorectal adenocarcinoma epithelium", "b"]
    note = confusion_matrices("CNN", [one], labels, names, "").note
    assert note.endswith(" Shortened: colorectal adenocarcinom… = colorectal adenocarcinoma epithelium.")


# Images


def test_fewer_images_than_room_are_all_drawn() -> None:
    drawn = first_samples(draw_images(7), np.arange(7) % 2, ["a", "b"], "")
    assert visible(drawn.figure.axes) == [True] * 7 + [False] * 3
    assert drawn.caption == "The first 7 training images with their labels."
    assert [axes.get_title() for axes in drawn.figure.axes[:3]] == ["a", "b", "a"]


def test_predictions_count_the_images_drawn_and_the_accuracy_of_all() -> None:
    labels = np.zeros(1200, dtype=int)
    predicted = labels.copy()
    predicted[[0, 1, 2]] = 1
    drawn = predictions("CNN", draw_images(4), labels, predicted, ["a", "b"], "", count=4)
    assert drawn.caption == (
        "CNN: the first 4 of 1,200 test images, with predicted (P) and actual (A) class; "
        "1 of these are right, 99.8 % of all images."
    )
    assert [axes.get_xlabel() for axes in drawn.figure.axes] == ["P  b\nA  a"] * 3 + ["P  a\nA  a"]


def test_a_right_prediction_has_no_cross() -> None:
    labels = np.array([0, 1])
    drawn = predictions("CNN", draw_images(2), labels, labels, ["a", "b"], "")
    assert not [text for axes in drawn.figure.axes for text in axes.texts]


# Of the contenders of a whole summary


@pytest.mark.parametrize("tested", [MLNN, MLNN[:1]], ids=["four", "one"])
def test_confusion_matrices_show_the_counts_of_the_median_seed(tested: list[TestedContender]) -> None:
    drawn = confusion_matrices("MLNN", tested, LABELS, NAMES, MARK)

    for axes, one in zip(drawn.figure.axes, tested, strict=False):
        matrix = predicted_matrix(LABELS, one.median_probabilities)
        counts = {text.get_position(): int(text.get_text()) for text in axes.texts}
        assert counts == {(column, row): count for (row, column), count in np.ndenumerate(matrix)}
        shares = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()][:4] == [
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature\ngranulocyte",
    ]


def test_confusion_matrices_survive_a_class_without_test_images() -> None:
    labels = np.where(LABELS == 7, 0, LABELS)

    drawn = confusion_matrices("CNN", CNN[:1], labels, NAMES, MARK)

    assert np.isfinite(np.asarray(drawn.figure.axes[0].images[0].get_array())).all()


def test_first_samples_draws_the_first_ten_with_their_labels() -> None:
    images, labels = random_images(20, 28, 28, 3), np.arange(20)[:, None] % 8

    drawn = first_samples(images, labels, NAMES, MARK)

    panels = drawn.figure.axes
    assert len(panels) == 10
    np.testing.assert_array_equal(panels[9].images[0].get_array(), images[9])
    assert panels[3].get_title() == "immature\ngranulocyte"
    assert panels[9].get_title() == "eosinophil"


def test_images_sorted_by_class_are_drawn_evenly_spaced() -> None:
    images, labels = random_images(40, 28, 28, 3), np.arange(40) // 5
    drawn = first_samples(images, labels, NAMES, MARK, count=8, spread=True)
    assert [axes.get_title() for axes in drawn.figure.axes[:8]] == list(short_class_names(NAMES, 12))
    assert drawn.caption == "8 evenly spaced training images with their labels."
    grid = predictions("CNN", images, labels, np.zeros(40, int), NAMES, MARK, count=8, spread=True)
    assert (
        grid.caption.startswith("CNN: 8 evenly spaced of 40 test images") and "; 1 of these are right" in grid.caption
    )


def test_first_samples_draws_grey_images_as_grey() -> None:
    for shape in ((28, 28), (28, 28, 1)):
        drawn = first_samples(random_images(3, *shape), np.array([0, 1, 1]), ["malignant", "normal, benign"], MARK)
        (image,) = drawn.figure.axes[0].images
        assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 255))
        assert drawn.caption.startswith("The first 3 training images")


def test_predictions_mark_what_is_wrong_not_by_colour_alone() -> None:
    labels = np.arange(30) % 8
    predicted = labels.copy()
    predicted[[2, 5, 29]] = 7

    drawn = predictions("CNN", random_images(30, 28, 28, 3), labels[:, None], predicted, NAMES, MARK)

    panels = drawn.figure.axes
    assert len(panels) == 24
    assert len(texts_of(drawn, "wrong")) == 2
    assert panels[2].get_xlabel() == "P  platelet\nA  erythroblast"
    assert panels[2].spines["top"].get_linewidth() > 3 * panels[3].spines["top"].get_linewidth()
    assert "22 of these are right, 90.0 % of all" in drawn.caption
