"""Screen of an adaptation: the settings tried, and the scores of the photographs held out."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from bloodtune.adaptation.adapted_model import AdaptedModel
from bloodtune.inference.confidence import with_temperature
from bloodtune.inference.evaluation import Evaluation
from bloodtune.inference.evaluation_writers import print_evaluation
from bloodtune.inference.terminal_output import screen_text, simple_table


def print_adaptation(adapted: AdaptedModel) -> None:
    """Print the settings tried, the best one first, and the evaluation of the held-out photographs."""
    table = simple_table("Settings, with the mean log loss of the photographs held out")
    names = list(adapted.card["adapted"]["trials"][0])
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for number, trial in enumerate(adapted.card["adapted"]["trials"]):
        values = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in trial.values())
        table.add_row(*map(screen_text, values), style="bold" if number == 0 else "")
    Console().print(table)
    print_evaluation(held_out_evaluation(adapted), _notes(adapted))


def held_out_evaluation(adapted: AdaptedModel) -> Evaluation:
    """Return the evaluation of the photographs, each predicted once by a network that was not trained on it."""
    best, card = adapted.trials[0], adapted.card
    images = card["data"]["split_sizes"]["train"]
    probabilities = with_temperature(best.probabilities[:images], card["temperature"])
    known = adapted.distances <= adapted.guard.limit if adapted.guard else None
    labels = best.labels[:images]
    return Evaluation(adapted.classifier.class_names, labels, probabilities, card["threshold"], Counter(), known=known)


def _notes(adapted: AdaptedModel) -> list[str]:
    folds = adapted.card["data"]["preparation"]["folds"]
    chose = "; a little too good, because they chose the settings" if len(adapted.trials) > 1 else ""
    notes = [
        f"Scores of {folds} other networks, each trained like this model but without one of {folds} folds of the "
        f"photographs{chose}"
    ]
    if used := adapted.card.get("used_test"):
        notes.append(f"Test split: accuracy {used['accuracy']:.1%}, macro-F1 {used['macro_f1']:.1%}")
    return notes
