"""All figures of the paper, by file name."""

from __future__ import annotations

from display_names import FAMILY_NAMES
from figures.calibration import calibration_figure
from figures.classification import confusion_matrices, first_samples, predictions, training_loss
from figures.frontier import frontier
from figures.importance import importance_figure, importances, overall
from figures.parallel_coordinates import parallel_coordinates
from figures.scores import precision_and_f1, side_by_side
from figures.search import best_so_far, learning_curves
from figures.style import CaptionedFigure
from frontier import frontier_points
from model_choice import Choices
from published import load_papers
from summary_data import Summary


def all_figures(summary: Summary) -> dict[str, CaptionedFigure]:
    """Return all figures, of both papers and of the search."""
    return _search_figures(summary) | _training_figures(summary) | _error_figures(summary) | _comparison(summary)


def _search_figures(summary: Summary) -> dict[str, CaptionedFigure]:
    search, mark = summary.search, summary.mark
    found = importances(search, summary.rungs)
    figures = {
        "first_samples": first_samples(
            summary.train.images, summary.train.labels, summary.class_names, mark, spread=bool(summary.test_files)
        ),
        "best_so_far": best_so_far(search, mark, summary.control),
        "learning_curves": learning_curves(search, summary.rungs, mark),
        "parallel_coordinates": parallel_coordinates(search, overall(found), mark),
    }
    return figures | ({"importance": importance_figure(found, mark)} if found else {})


def _training_figures(summary: Summary) -> dict[str, CaptionedFigure]:
    figures = {}
    panels = {}
    for family in ("mlnn", "cnn"):
        contenders = [one.contender for one in summary.published_of(family)]
        if contenders:
            panels[FAMILY_NAMES[family]] = contenders
            figures[f"training_loss_{family}"] = training_loss(FAMILY_NAMES[family], contenders, summary.mark)
    if panels:
        intervals = {label: scores.intervals for label, scores in summary.measured.items()}
        images = len(summary.test.labels)
        figures["precision_and_f1"] = precision_and_f1(panels, images, _percent(summary), summary.mark, intervals)
    return figures


def _error_figures(summary: Summary) -> dict[str, CaptionedFigure]:
    test, names, mark = summary.test, summary.class_names, summary.mark
    groups = {
        family: (title, members) for family, title in FAMILY_NAMES.items() if (members := summary.published_of(family))
    }
    groups["best"] = ("chosen model", [summary.best])
    figures = {
        f"confusion_{name}": confusion_matrices(title, members, test.labels, names, mark)
        for name, (title, members) in groups.items()
    }
    probabilities = summary.best.median_probabilities
    figures["calibration_best"] = calibration_figure("chosen model", test.labels, probabilities, mark)
    # The second paper shows such a grid of predictions for its network.
    for name in ("lightweight", "best"):
        title, members = groups.get(name, ("", []))
        for one in members:
            predicted = one.median_probabilities.argmax(axis=1)
            figures[f"predictions_{name}"] = predictions(
                title, test.images, test.labels, predicted, names, mark, spread=bool(summary.test_files)
            )
    return figures


def _comparison(summary: Summary) -> dict[str, CaptionedFigure]:
    roles = roles_of(summary.choices)
    shown = {roles[label]: summary.contenders[label] for label in summary.choices.compared()}
    intervals = {label: scores.intervals for label, scores in summary.measured.items()}
    images = len(summary.test.labels)
    return {
        "side_by_side": side_by_side(shown, images, _percent(summary), summary.mark, intervals),
        "frontier": frontier(frontier_points(summary), summary.choices.best, images, summary.mark),
    }


def _percent(summary: Summary) -> dict[str, float]:
    return load_papers().weighted_f1_percent() if summary.is_blood else {}


def roles_of(choices: Choices) -> dict[str, str]:
    """Return the names in the side-by-side figure, by the labels of ``choices.compared()``."""
    roles = {label: FAMILY_NAMES[family] for family, label in choices.published_by_family.items()}
    if choices.found:
        roles[choices.found] = "found model"
    is_published = choices.best in choices.published_by_family.values()
    return roles | {choices.best: f"{roles[choices.best]}\n(chosen)" if is_published else "chosen model"}
