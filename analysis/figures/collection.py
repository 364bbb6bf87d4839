"""All figures of the paper, by the name of their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bloodtune.data.npz import Split
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.tuning.contender import TestedContender
from captions import FAMILY_NAMES, data_sentence, is_blood
from contenders import PUBLISHED
from figures.calibration import calibration_figure
from figures.classification import confusion_matrices, first_samples, predictions, training_loss
from figures.importance import rung_importance
from figures.parallel_coordinates import parallel_coordinates
from figures.scores import precision_and_f1, side_by_side
from figures.search import best_so_far, importance, learning_curves
from figures.style import CaptionedFigure
from published import load_papers
from scores import Measured
from selection import Choices


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
    published = {family: members for family in FAMILY_NAMES if (members := _published(tested, family))}
    percent = load_papers().weighted_f1_percent() if is_blood(class_names) else {}
    intervals = {label: scores.intervals for label, scores in measured.items()}
    best = by_label[choices.best]
    figures = {"first_samples": first_samples(train.images, train.labels, class_names, data)}
    figures["best_so_far"] = best_so_far(run, data, control)
    figures["learning_curves"] = learning_curves(run, rungs, data)
    importances, rung = rung_importance(run, rungs)
    figures["importance"] = importance(importances, data, rung)
    figures["parallel_coordinates"] = parallel_coordinates(run, importances, data)
    pairs = {FAMILY_NAMES[family]: published[family] for family in ("mlnn", "cnn") if family in published}
    for family in ("mlnn", "cnn"):
        if family in published:
            contenders = [one.contender for one in published[family]]
            figures[f"training_loss_{family}"] = training_loss(FAMILY_NAMES[family], contenders, data)
    if pairs:
        panels = {name: [one.contender for one in members] for name, members in pairs.items()}
        figures["precision_and_f1"] = precision_and_f1(panels, len(test.labels), percent, data, intervals)
    for family, members in published.items():
        figures[f"confusion_{family}"] = confusion_matrices(
            FAMILY_NAMES[family], members, test.labels, class_names, data
        )
    figures["confusion_best"] = confusion_matrices("chosen model", [best], test.labels, class_names, data)
    figures["calibration_best"] = calibration_figure("chosen model", test.labels, best.median_probabilities, data)
    # The second paper's grid, from its network; the chosen model's beside it.
    for name, title, members in (
        ("lightweight", FAMILY_NAMES["lightweight"], published.get("lightweight", [])),
        ("best", "chosen model", [best]),
    ):
        for one in members:
            predicted = one.median_probabilities.argmax(axis=1)
            figures[f"predictions_{name}"] = predictions(title, test.images, test.labels, predicted, class_names, data)
    roles = roles_of(choices)
    shown = {roles[label]: by_label[label].contender for label in choices.compared()}
    figures["side_by_side"] = side_by_side(shown, len(test.labels), percent, data, intervals)
    return figures


def roles_of(choices: Choices) -> dict[str, str]:
    """Return what each of ``choices.compared()`` is called beside the others, by its label."""
    roles = {label: FAMILY_NAMES[family] for family, label in choices.published_by_family.items()}
    if choices.best in roles:
        roles[choices.best] += "\n(chosen)"
    if choices.found:
        roles[choices.found] = "chosen model" if choices.found == choices.best else "found model"
    return roles


def _published(tested: Sequence[TestedContender], family: str) -> list[TestedContender]:
    contenders = [one for one in tested if one.contender.origin == PUBLISHED]
    return [one for one in contenders if one.contender.configuration.family == family]
