"""The table of the search: epochs, seconds, gain over published configurations, and optimism."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bloodtune.run.records import COMPLETE, FAILED, PRUNED, best_record
from bloodtune.tuning.retrained_models import Contender
from contender_labels import FOUND, is_published, trial_label
from summary_data import SearchRecords, Summary
from tables.files import Panel, Table
from tables.number_format import NOTHING

_NOTE = (
    "Scores are macro-F1 in %, on validation except in the last row. Epochs of full training: trials times the maximum "
    "epochs per trial. Published: the best of the enqueued published configurations, which ASHA may have pruned. "
    "Optimism: the search's score minus the mean of the same configuration retrained with fresh seeds for at least as "
    "many epochs, both validated as in the search; – without such a retraining. In the last two rows, models trained "
    "with several views of an image predict with the mean over such views."
)


def search_table(summary: Summary) -> Table:
    """Return table 7: cost and gain of the search, and of the random control if there is one."""
    columns = {"search": search_costs(summary.search) | search_gains(summary)}
    note = _NOTE
    if summary.control is not None:
        columns["random"] = search_costs(summary.control)
        note += f" Random: run {summary.control.name}, the same space with a random sampler; it was not retrained."
    quantities = list(_QUANTITIES)
    frame = pd.DataFrame({"quantity": quantities, "unit": [_QUANTITIES[name][1] for name in quantities]})
    shown = pd.DataFrame({"": [_QUANTITIES[name][0] for name in quantities]})
    for name, values in columns.items():
        frame[name] = [values.get(quantity) for quantity in quantities]
        shown[name] = [_shown(values.get(quantity), _QUANTITIES[quantity][1]) for quantity in quantities]
    caption = "Cost and gain of the search."
    return Table("table7_search", caption, frame, (Panel("", shown),), note, summary.mark)


def search_costs(search: SearchRecords) -> dict[str, float]:
    """Return cost and best scores of a search, by the names in table 7."""
    trials, provenance, curves = search.trials, search.provenance, search.curves
    spent = float(len(curves) + provenance.get("discarded_epochs", 0))
    full = float(len(trials) * provenance["max_epochs"])
    costs = {
        "budget": float(provenance.get("budget", len(trials))),
        "complete": float(sum(trial.state == COMPLETE for trial in trials)),
        "pruned": float(sum(trial.state == PRUNED for trial in trials)),
        "failed": float(sum(trial.state == FAILED for trial in trials)),
        "epochs_spent": spent,
        "epochs_full": full,
        "device_seconds": float(curves.seconds.sum() + provenance.get("discarded_seconds", 0.0)),
    }
    if full:
        costs["epochs_saved"] = 1 - spent / full
    if "wall_seconds" in provenance:
        costs["wall_seconds"] = float(provenance["wall_seconds"])
    published = [trial for trial in trials if is_published(trial.configuration)]
    for name, group in (("best", trials), ("published", published)):
        record = best_record(group)
        if record is not None and record.best_val_macro_f1 is not None:
            costs[name] = record.best_val_macro_f1
    if "published" in costs:
        costs["gain"] = costs["best"] - costs["published"]
    return costs


def search_gains(summary: Summary) -> dict[str, float]:
    """Return the gains of the search after retraining, by the names in table 7; unknown gains are absent.

    Optimism is measured only on retrainings with at least the maximum epochs of the search.
    """
    choices, contenders = summary.choices, summary.contenders
    gains = {"test": float(np.mean(summary.measured[choices.best].seeds["macro_f1"]))}
    epochs = summary.search.provenance["max_epochs"]
    optimism = {
        label: contender.search_val_macro_f1 - _as_searched(contender)
        for label, contender in contenders.items()
        if contender.search_val_macro_f1 is not None and contender.max_epochs >= epochs
    }
    best = best_record(summary.search.trials)
    # A configuration from a paper is retrained under its own label, any other configuration under its trial's.
    labels = (best.label, trial_label(best.trial)) if best else ()
    label = next((label for label in labels if label in optimism), None)
    if label is not None:
        gains |= {"retrained": _as_searched(contenders[label]), "optimism": optimism[label]}
    found = [value for label, value in optimism.items() if contenders[label].origin == FOUND]
    if found:
        gains["mean_optimism"] = float(np.mean(found))
    published = [contenders[label].mean_val_macro_f1 for label in choices.published_by_family.values()]
    if published:
        gains["retrained_gain"] = contenders[choices.best].mean_val_macro_f1 - max(published)
    return gains


def _as_searched(contender: Contender) -> float:
    """Return the mean over seeds of the best validation macro-F1 in the curves, validated as in a search."""
    return float(np.mean([retraining.curve.val_macro_f1.max() for retraining in contender.retrainings]))


_COUNT, _SECONDS, _SHARE, _POINTS = "count", "s", "share", "share difference"
_QUANTITIES = {
    "budget": ("Budget, configurations", _COUNT),
    "complete": ("Trials run to the end", _COUNT),
    "pruned": ("Trials pruned", _COUNT),
    "failed": ("Trials failed", _COUNT),
    "epochs_spent": ("Epochs spent", _COUNT),
    "epochs_full": ("Epochs of full training", _COUNT),
    "epochs_saved": ("Epochs saved, %", _SHARE),
    "device_seconds": ("Device-seconds", _SECONDS),
    "wall_seconds": ("Wall-clock seconds", _SECONDS),
    "best": ("Best in the search", _SHARE),
    "published": ("Best published in the search", _SHARE),
    "gain": ("Gain over published, points", _POINTS),
    "retrained": ("The search's best, retrained", _SHARE),
    "optimism": ("Optimism, points", _POINTS),
    "mean_optimism": ("Optimism, mean over found ones, points", _POINTS),
    "retrained_gain": ("Chosen over published, retrained, points", _POINTS),
    "test": ("Chosen, macro-F1 on test, mean over seeds", _SHARE),
}


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    if unit in (_COUNT, _SECONDS):
        return f"{value:,.0f}"
    sign = "+" if unit == _POINTS else ""
    return f"{100 * value:{sign}.1f}".replace("-", "−")
