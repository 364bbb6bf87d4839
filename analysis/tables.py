"""All tables of the paper: the published configurations, the scores, and what the search cost and gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.records import COMPLETE, FAILED, PRUNED, best_record
from bloodtune.run import PROVENANCE, RunDirectory
from captions import data_sentence
from intervals import Measured
from papers import ConfigurationTable, load_papers
from results import FOUND, Choices, Contender, TestedContender, is_published, trial_label
from score_tables import comparison_table, confused_pairs_table, f1_table, per_class_table
from table_files import Panel, Table, write_table

_NOTHING = "–"


def all_tables(
    run: RunDirectory,
    tested: Sequence[TestedContender],
    measured: Mapping[str, Measured],
    labels: np.ndarray,
    class_names: Sequence[str],
    choices: Choices,
    generator: np.random.Generator,
    control: RunDirectory | None = None,
) -> list[Table]:
    """Return every table of the summary, in their order.

    ``measured`` has the scores of each contender by label (``intervals.measure``); ``labels`` (N,) are those
    of the test split.
    """
    data = data_sentence(run.read_json(PROVENANCE))
    contenders = [one.contender for one in tested]
    return [
        *configuration_tables(contenders, data),
        f1_table(tested, measured, class_names, choices, data),
        per_class_table(tested, labels, class_names, choices, data),
        confused_pairs_table(tested, labels, class_names, choices, data),
        comparison_table(tested, labels, choices, data, generator),
        search_table(run, tested, measured, choices, data, control),
    ]


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write every table as CSV, Markdown and LaTeX; return the paths."""
    return [
        path for table in tables for path in write_table(table.frame, table.caption, folder, table.name, table.panels)
    ]


def configuration_tables(contenders: Sequence[Contender], data: str) -> list[Table]:
    """Tables 1 and 2, as printed, and the second paper's network; rows marked * are ours, not the papers'."""
    by_label = {contender.label: contender for contender in contenders}
    return [_configuration_table(table, by_label, data) for table in load_papers().tables]


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


def _configuration_table(table: ConfigurationTable, contenders: Mapping[str, Contender], data: str) -> Table:
    ours = [contenders.get(label) for label in table.labels]
    rows = [list(row) for row in table.rows]
    for name in table.filled:
        rows.append([f"{name.replace('_', ' ').title()}*", *(_filled(contender, name) for contender in ours)])
    rows.append(["Epochs Trained*", *(_epochs(contender) for contender in ours)])
    frame = pd.DataFrame(rows, columns=list(table.columns))
    assumed = "; ".join(f"{name} {value}" for name, value in table.assumed.items())
    caption = (
        f"{table.title}. Rows marked * are not in the paper: they are what was used here, epochs of the "
        f"median seed with the epoch that was kept. Also assumed: {assumed}. {data}"
    )
    return Table(table.name, caption, frame, (Panel("", frame),))


def _filled(contender: Contender | None, name: str) -> str:
    value: Any = getattr(contender.configuration, name) if contender else None
    return _NOTHING if value is None else f"{value:g}"


def _epochs(contender: Contender | None) -> str:
    if contender is None:
        return _NOTHING
    retraining = contender.retrainings[contender.median]
    return f"{retraining.epochs} (kept: {retraining.best_epoch})"
