"""What the search cost and gained, as a table and as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, best_record
from bloodtune.tuning.contender import Contender, TestedContender
from contenders import FOUND, is_published, trial_label
from scores import Measured
from selection import Choices
from tables.files import Panel, Table

_NOTHING = "–"


def search_table(
    run: RunDirectory,
    tested: Sequence[TestedContender],
    measured: Mapping[str, Measured],
    choices: Choices,
    data: str,
    control: RunDirectory | None = None,
) -> Table:
    """Table 7: what the search spent and won, beside the ``control`` (random) run where there is one."""
    contenders = {one.contender.label: one.contender for one in tested}
    columns = {"search": search_costs(run) | search_gains(run, contenders, measured, choices)}
    if control is not None:
        columns["random"] = search_costs(control)
    quantities = list(_QUANTITIES)
    frame = pd.DataFrame({"quantity": quantities, "unit": [_QUANTITIES[name][1] for name in quantities]})
    for name, values in columns.items():
        frame[name] = [values.get(quantity) for quantity in quantities]
    shown = pd.DataFrame({"": [_QUANTITIES[name][0] for name in quantities]})
    for name, values in columns.items():
        shown[name] = [_shown(values.get(quantity), _QUANTITIES[quantity][1]) for quantity in quantities]
    caption = (
        "What the search cost and what it gained. Scores are macro-F1 on validation, in %, but for the last "
        "row. Epochs of full training: all trials times the most epochs that one may run. Published: the "
        "best of the enqueued published configurations, which ASHA may have stopped early. Optimism: the "
        "search's own score less the mean of the same configuration retrained with fresh seeds for at least as many "
        "epochs, both as a search validates; – where it was not. The last two rows are of models as they are used: "
        "over several views of an image where they were trained with such."
    )
    if control is not None:
        caption += f" Random: run {control.name}, the same space without the sampler; it was not retrained."
    return Table("table7_search", f"{caption} {data}", frame, (Panel("", shown),))


def search_costs(run: RunDirectory) -> dict[str, float]:
    """Return what a run spent and the best that it saw, from its records; names as in table 7."""
    trials, provenance = run.trials(), run.read_json(PROVENANCE)
    curves = run.curves()
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


def search_gains(
    run: RunDirectory, contenders: Mapping[str, Contender], measured: Mapping[str, Measured], choices: Choices
) -> dict[str, float]:
    """Return what retraining made of the search's best; names as in table 7, absent where not known.

    A retraining of fewer epochs than the search allowed says nothing about the search's optimism.
    """
    gains = {"test": float(np.mean(measured[choices.best].seeds["macro_f1"]))}
    epochs = run.read_json(PROVENANCE)["max_epochs"]
    optimism = {
        label: contender.search_val_macro_f1 - _as_searched(contender)
        for label, contender in contenders.items()
        if contender.search_val_macro_f1 is not None and contender.max_epochs >= epochs
    }
    best = best_record(run.trials())
    # What another recipe enqueued has a label too, and is a found one here.
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
    """Return the mean best validation macro-F1 of the curves: as a search validates."""
    return float(np.mean([retraining.curve.val_macro_f1.max() for retraining in contender.retrainings]))


_COUNT, _SECONDS, _SHARE, _POINTS = "count", "s", "share", "share difference"
_QUANTITIES = {
    "budget": ("Budget, configurations", _COUNT),
    "complete": ("Trials run to the end", _COUNT),
    "pruned": ("Trials stopped early", _COUNT),
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
    "mean_optimism": ("Optimism, mean of all found, points", _POINTS),
    "retrained_gain": ("Chosen over published, retrained, points", _POINTS),
    "test": ("Chosen, macro-F1 on test, mean over seeds", _SHARE),
}


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return _NOTHING
    if unit in (_COUNT, _SECONDS):
        return f"{value:,.0f}"
    sign = "+" if unit == _POINTS else ""
    return f"{100 * value:{sign}.1f}".replace("-", "−")
