"""The figures of the summary: what they draw, that all of it can be read, and what is on disk."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from bloodtune.run.directory import RunDirectory
from bloodtune.training.metrics import Interval
from display_names import data_mark
from figure_fixtures import crowded_points, drawn_texts, lines_of
from figures.classification import confusion_matrices, first_samples, predictions, training_loss
from figures.frontier import frontier
from figures.importance import Importance, importance_figure
from figures.scores import precision_and_f1, side_by_side
from figures.search import best_so_far, learning_curves
from figures.style import CaptionedFigure, long_class_names, save_figure, short_class_names
from scores import predicted_matrix, score_intervals
from summary_data import SearchRecords
from summary_fixtures import RUNGS, fake_contenders, fake_provenance

if TYPE_CHECKING:  # at run time pytest would take TestedContender for a class of tests
    from bloodtune.tuning.retrained_models import Contender, TestedContender

MARK = data_mark(fake_provenance(synthetic=True))
PUBLISHED = {"MLNN config 1": 88.56, "MLNN config 3": 88.57, "CNN config 2": 95.04}
PATH_NAMES = (
    "adipose",
    "background",
    "debris",
    "lymphocytes",
    "mucus",
    "smooth muscle",
    "normal colon mucosa",
    "cancer-associated stroma",
    "colorectal adenocarcinoma epithelium",
)

TESTED, LABELS, NAMES = fake_contenders()
FEW, NINE = fake_contenders(classes=2, images=60), fake_contenders(classes=9, images=9000)
BY_LABEL = {tested.contender.label: tested for tested in TESTED}
MLNN, CNN = ([BY_LABEL[f"{family} config {i}"] for i in range(1, 5)] for family in ("MLNN", "CNN"))
SHOWN = {
    "MLNN\n(config 3)": MLNN[2].contender,
    "CNN\n(config 2)": CNN[1].contender,
    "found\n(search #12)": BY_LABEL["search #12"].contender,
}
INTERVALS = {
    label: score_intervals(LABELS, one.median_probabilities, np.random.default_rng(0), 20)
    for label, one in BY_LABEL.items()
}


def _images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def _contenders(tested: list[TestedContender]) -> list[Contender]:
    return [one.contender for one in tested]


def _cut_to_one_seed(tested: TestedContender) -> TestedContender:
    contender = dataclasses.replace(tested.contender, retrainings=tested.contender.retrainings[:1])
    return dataclasses.replace(tested, contender=contender, probabilities=tested.probabilities[:1])


def _with_gid(drawn: CaptionedFigure, gid: str) -> list[Text]:
    return [text for text in drawn.figure.findobj(Text) if text.get_gid() == gid]


def _all_figures(run: SearchRecords, control: SearchRecords) -> dict[str, Callable[[], CaptionedFigure]]:
    (few, few_labels, few_names), (nine, nine_labels, _) = FEW, NINE
    light = BY_LABEL["lightweight CNN"]
    some = np.arange(30) % 8
    published = {"MLNN": _contenders(MLNN), "CNN": _contenders(CNN)}
    return {
        "training loss": lambda: training_loss("MLNN", _contenders(MLNN), MARK),
        "training loss of three": lambda: training_loss("CNN", _contenders(CNN[:3]), MARK),
        "scores": lambda: precision_and_f1(published, 3421, PUBLISHED, MARK, INTERVALS),
        "frontier": lambda: frontier(crowded_points(), "search #45, 81 epochs", 3421, MARK),
        "frontier of one": lambda: frontier(crowded_points()[:1], "MLNN config 1", 3421, MARK),
        "side by side": lambda: side_by_side(SHOWN, 3421, PUBLISHED, MARK, INTERVALS),
        "four matrices": lambda: confusion_matrices("MLNN", MLNN, LABELS, NAMES, MARK),
        "one matrix": lambda: confusion_matrices("lightweight CNN", [light], LABELS, NAMES, MARK),
        "matrices of 2": lambda: confusion_matrices("MLNN", few[:4], few_labels, few_names, MARK),
        "matrix of 2": lambda: confusion_matrices("found", few[-1:], few_labels, few_names, MARK),
        "matrix of 9": lambda: confusion_matrices("found", nine[-1:], nine_labels, PATH_NAMES, MARK),
        "samples": lambda: first_samples(_images(12, 28, 28, 3), some[:12, None], NAMES, MARK),
        "samples, long names": lambda: first_samples(_images(12, 28, 28), 8 - some[:12], PATH_NAMES, MARK),
        "predictions": lambda: predictions("CNN", _images(30, 28, 28, 3), some, some[::-1], NAMES, MARK),
        "predictions, one class": lambda: predictions(
            "CNN", _images(30, 28, 28, 1), 0 * some + 3, 0 * some + 3, NAMES, MARK
        ),
        "best so far": lambda: best_so_far(run, MARK, control),
        "learning curves": lambda: learning_curves(run, RUNGS, MARK),
        "importance": lambda: importance_figure([_importance("cnn")], MARK),
        "importance, three families": lambda: importance_figure([_importance(f) for f in ("cnn", "mlnn", "own")], MARK),
    }


def _importance(family: str) -> Importance:
    return Importance(family, 9, 14, {"learning_rate": np.array([0.5, 0.7]), "label_smoothing": np.array([0.5, 0.3])})


FIGURES = list(_all_figures(SearchRecords("", {}, (), pd.DataFrame()), SearchRecords("", {}, (), pd.DataFrame())))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_legible_and_names_its_synthetic_data(
    name: str, run: RunDirectory, control: RunDirectory
) -> None:
    drawn = _all_figures(SearchRecords.read(run), SearchRecords.read(control))[name]()

    texts = drawn_texts(drawn.figure)

    (footer,) = (text for text in texts if text.get_gid() == "data")
    assert footer.get_text() == MARK == "Synthetic stand-in for BloodMNIST"
    assert footer.get_weight() == "bold"
    assert drawn.caption.endswith(".") and ". " not in drawn.caption, "one sentence"
    assert drawn.description.endswith(f"Data: {MARK}.") and "MD5" not in drawn.description
    canvas, boxes = drawn.figure.bbox, [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1, text
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1, text
        assert text.get_fontsize() >= 4.5, text
    for (one, first), (other, second) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert width <= 1 or height <= 1, (one, other)


def test_a_figure_of_photographs_does_not_call_them_synthetic() -> None:
    drawn = importance_figure([_importance("cnn")], "bloodmnist_rebuilt, rebuilt split")

    assert "synthetic" not in drawn.description
    assert _with_gid(drawn, "data")[0].get_weight() == "normal"
    assert _with_gid(importance_figure([_importance("cnn")], ""), "data") == [], "official data has no mark"


def test_save_figure_writes_the_same_pdf_and_png_each_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        matrices = confusion_matrices("CNN", CNN[:1], LABELS, NAMES, MARK)
        pdf, png = save_figure(matrices, tmp_path / folder, "cnn_matrix")
        assert (pdf.name, png.name) == ("cnn_matrix.pdf", "cnn_matrix.png")

    assert b"CreationDate" not in pdf.read_bytes()
    for name in (pdf.name, png.name):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(300 * 3.5, abs=1)
        assert image.info["Description"] == matrices.description


def test_modules_import_without_torch_ray_or_pyplot() -> None:
    code = (
        "import sys, figures.classification, figures.scores, figures.search; "
        "print([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules])"
    )

    analysis = Path(__file__).parents[3] / "analysis"
    done = subprocess.run([sys.executable, "-c", code], cwd=analysis, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_training_loss_has_a_panel_a_configuration_and_a_line_a_seed() -> None:
    drawn = training_loss("CNN", _contenders(CNN), MARK)

    assert [axes.get_title() for axes in drawn.figure.axes] == [
        "Config-1: CrossEntropy + SGD",
        "Config-2: CrossEntropy + Adam",
        "Config-3: NLLLoss + SGD",
        "Config-4: NLLLoss + Adam",
    ]
    seeds = lines_of(drawn, "seed")
    assert len(seeds) == 4 * 3
    expected = CNN[0].contender.retrainings[0].curve.train_loss
    np.testing.assert_array_equal(seeds[0].get_ydata(), expected)
    assert drawn.caption.startswith("CNN: training loss of 4 configurations, 3 seeds (thin) and their mean")


def test_training_loss_draws_the_mean_as_far_as_all_seeds_ran() -> None:
    def curve(*losses: float) -> pd.DataFrame:
        return pd.DataFrame({"epoch": np.arange(1, len(losses) + 1), "train_loss": losses})

    contender = MLNN[0].contender
    curves = (curve(3.0, 1.0), curve(2.0, 1.0, 0.5), curve(1.0, float("inf"), 0.1))
    retrainings = tuple(
        dataclasses.replace(retraining, curve=one, best_epoch=1)
        for retraining, one in zip(contender.retrainings, curves, strict=True)
    )

    drawn = training_loss("MLNN", [dataclasses.replace(contender, retrainings=retrainings)], MARK)

    (mean,) = lines_of(drawn, "mean")
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2])
    np.testing.assert_array_equal(mean.get_ydata(), [2.0, np.nan])


def test_figures_say_which_configurations_are_the_same_trainings() -> None:
    first, second = (one for one in TESTED if one.contender.label in ("MLNN config 1", "MLNN config 3"))
    shared = dataclasses.replace(second.contender, retrainings=first.contender.retrainings)
    sentence = "Mathematically the same and trained once: MLNN config 1 and MLNN config 3."
    assert sentence in training_loss("MLNN", [first.contender, shared], MARK).note
    assert sentence not in training_loss("MLNN", [first.contender, second.contender], MARK).note


def test_training_loss_of_one_seed_has_no_mean() -> None:
    drawn = training_loss("MLNN", [_cut_to_one_seed(MLNN[0]).contender], MARK)

    assert len(lines_of(drawn, "seed")) == 1
    assert not lines_of(drawn, "mean")
    assert "of one configuration, one seed." in drawn.caption


def test_training_loss_of_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="training_loss: nothing to draw, at least one contender is needed"):
        training_loss("MLNN", [], MARK)


def test_precision_and_f1_draws_the_intervals_given_and_what_was_published() -> None:
    families = {"MLNN": _contenders(MLNN), "CNN": _contenders(CNN), "none": []}

    drawn = precision_and_f1(families, 3421, PUBLISHED, MARK, INTERVALS)

    assert [axes.get_title(loc="left") for axes in drawn.figure.axes] == ["MLNN", "CNN"]
    value, *bounds = INTERVALS["MLNN config 1"]["weighted_f1"]
    assert lines_of(drawn, "weighted_f1")[0].get_xdata()[0] == pytest.approx(100 * value)
    np.testing.assert_allclose(
        lines_of(drawn, "interval weighted_f1")[0].get_xdata(), [100 * bound for bound in bounds]
    )
    assert [line.get_xdata()[0] for line in lines_of(drawn, "published")] == [88.56, 88.57, 95.04]
    low, high = drawn.figure.axes[0].get_xlim()
    assert f"The axis runs from {low:g} to {high:g} %." in drawn.note
    assert "the 3,421 test images, with 95 % bootstrap" in drawn.caption
    assert "the seed that is median on validation" in drawn.note


def test_precision_and_f1_without_published_values_does_not_speak_of_them() -> None:
    metrics = {"weighted_precision": Interval(0.9, 0.88, 0.92), "weighted_f1": Interval(0.8, 0.7, 0.85)}

    drawn = precision_and_f1({"MLNN": _contenders(MLNN[:1])}, 100, {}, MARK, {"MLNN config 1": metrics})

    assert lines_of(drawn, "weighted_precision")[0].get_xdata()[0] == pytest.approx(90)
    np.testing.assert_allclose(lines_of(drawn, "interval weighted_f1")[0].get_xdata(), [70, 85])
    assert "published" not in drawn.description


def test_side_by_side_draws_its_rows_under_the_names_given() -> None:
    drawn = side_by_side(SHOWN, 3421, PUBLISHED, MARK, INTERVALS)

    (axes,) = drawn.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(SHOWN)
    macro = INTERVALS["CNN config 2"]["macro_f1"].value
    assert lines_of(drawn, "macro_f1")[1].get_xdata()[0] == pytest.approx(100 * macro)
    assert [line.get_xdata()[0] for line in lines_of(drawn, "published")] == [88.57, 95.04]


@pytest.mark.parametrize("draw", [precision_and_f1, side_by_side])
def test_scores_of_nothing_say_so(draw: Callable[..., CaptionedFigure]) -> None:
    with pytest.raises(ValueError, match="needs at least one contender, got none"):
        draw({}, 3421, {}, MARK, {})


def test_published_score_that_is_not_percent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'MLNN config 1' is 0\.8856: expected percent, e\.g\. 88\.56"):
        precision_and_f1({"MLNN": _contenders(MLNN)}, 3421, {"MLNN config 1": 0.8856}, MARK, INTERVALS)


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
    images, labels = _images(20, 28, 28, 3), np.arange(20)[:, None] % 8

    drawn = first_samples(images, labels, NAMES, MARK)

    panels = drawn.figure.axes
    assert len(panels) == 10
    np.testing.assert_array_equal(panels[9].images[0].get_array(), images[9])
    assert panels[3].get_title() == "immature\ngranulocyte"
    assert panels[9].get_title() == "eosinophil"


def test_images_sorted_by_class_are_drawn_evenly_spaced() -> None:
    images, labels = _images(40, 28, 28, 3), np.arange(40) // 5
    drawn = first_samples(images, labels, NAMES, MARK, count=8, spread=True)
    assert [axes.get_title() for axes in drawn.figure.axes[:8]] == list(short_class_names(NAMES, 12))
    assert drawn.caption == "8 evenly spaced training images with their labels."
    grid = predictions("CNN", images, labels, np.zeros(40, int), NAMES, MARK, count=8, spread=True)
    assert (
        grid.caption.startswith("CNN: 8 evenly spaced of 40 test images") and "; 1 of these are right" in grid.caption
    )


def test_first_samples_draws_grey_images_as_grey() -> None:
    for shape in ((28, 28), (28, 28, 1)):
        drawn = first_samples(_images(3, *shape), np.array([0, 1, 1]), ["malignant", "normal, benign"], MARK)
        (image,) = drawn.figure.axes[0].images
        assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 255))
        assert drawn.caption.startswith("The first 3 training images")


def test_predictions_mark_what_is_wrong_not_by_colour_alone() -> None:
    labels = np.arange(30) % 8
    predicted = labels.copy()
    predicted[[2, 5, 29]] = 7

    drawn = predictions("CNN", _images(30, 28, 28, 3), labels[:, None], predicted, NAMES, MARK)

    panels = drawn.figure.axes
    assert len(panels) == 24
    assert len(_with_gid(drawn, "wrong")) == 2
    assert panels[2].get_xlabel() == "P  platelet\nA  erythroblast"
    assert panels[2].spines["top"].get_linewidth() > 3 * panels[3].spines["top"].get_linewidth()
    assert "22 of these are right, 90.0 % of all" in drawn.caption


def test_short_class_names_fit_two_lines_and_stay_different() -> None:
    names = ["immature granulocyte", "a", "colorectal adenocarcinoma epithelium"]

    assert short_class_names(names) == ["immature\ngranulocyte", "a", "colorectal\nadenocarcinom…"]
    assert short_class_names(["left adenocarcinoma", "left adenocarcinomas"], 9) == [
        "0: left\nadenocar…",
        "1: left\nadenocar…",
    ]
    assert short_class_names(names[2:], width=12, lines=1) == ["colorectal…"]
    assert long_class_names(["a", "b c"]) == ""
    assert long_class_names(["abcdefgh"], width=4) == " Shortened: abc… = abcdefgh."
