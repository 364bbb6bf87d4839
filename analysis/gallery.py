"""All figures of the paper, by the name of their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captions import data_sentence, is_blood
from figure_style import CaptionedFigure
from figures import confusion_matrices, first_samples, predictions, training_loss
from importance import rung_importance
from intervals import Measured
from papers import load_papers
from results import PUBLISHED, Choices, TestedContender
from score_figures import precision_and_f1, side_by_side
from search_figures import best_so_far, importance, learning_curves

from bloodtune.data import Split
from bloodtune.run import PROVENANCE, RunDirectory

_TITLES = {"mlnn": "MLNN", "cnn": "CNN", "lightweight": "lightweight CNN", "residual": "residual network"}


def all_figures(
    run: RunDirectory,
    rungs: Sequence[int],
    tested: Sequence[TestedContender],
    measured: Mapping[str, Measured],
    train: Split,
    test: Split,
    class_names: Sequence[str],
    choices: Choices,
    control: RunDirectory | None = None,
) -> dict[str, CaptionedFigure]:
    """Return every figure of both papers, and of the search, in the order of the report."""
    data = data_sentence(run.read_json(PROVENANCE))
    by_label = {one.contender.label: one for one in tested}
    published = {
        family: [one for one in tested if _is_published(one, family)] for family in ("mlnn", "cnn", "lightweight")
    }
    percent = load_papers().weighted_f1_percent() if is_blood(class_names) else {}
    intervals = {label: scores.intervals for label, scores in measured.items()}
    best = by_label[choices.best]
    figures = {"first_samples": first_samples(train.images, train.labels, class_names, data)}
    figures["best_so_far"] = best_so_far(run, data, control)
    figures["learning_curves"] = learning_curves(run, rungs, data)
    importances, rung = rung_importance(run, rungs)
    figures["importance"] = importance(importances, data, rung)
    pairs = {_TITLES[family]: published[family] for family in ("mlnn", "cnn")}
    for family in ("mlnn", "cnn"):
        title = _TITLES[family]
        figures[f"training_loss_{family}"] = training_loss(title, [one.contender for one in pairs[title]], data)
    figures["precision_and_f1"] = precision_and_f1(pairs, test.labels, percent, data, intervals)
    for family, members in published.items():
        figures[f"confusion_{family}"] = confusion_matrices(_TITLES[family], members, test.labels, class_names, data)
    figures["confusion_best"] = confusion_matrices("chosen model", [best], test.labels, class_names, data)
    # The second paper's grid, from its network; the chosen model's beside it.
    for name, one in (("lightweight", published["lightweight"][0]), ("best", best)):
        predicted = one.median_probabilities.argmax(axis=1)
        title = _TITLES["lightweight"] if name == "lightweight" else "chosen model"
        figures[f"predictions_{name}"] = predictions(title, test.images, test.labels, predicted, class_names, data)
    shown = {_TITLES[family]: by_label[choices.published_by_family[family]] for family in published}
    figures["side_by_side"] = side_by_side({**shown, "chosen model": best}, test.labels, percent, data, intervals)
    return figures


def _is_published(one: TestedContender, family: str) -> bool:
    return one.contender.origin == PUBLISHED and one.contender.configuration.family == family
