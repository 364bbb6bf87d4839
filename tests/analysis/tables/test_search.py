"""The table of the search: its costs and its gains."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bloodtune.run.records import COMPLETE, FAILED
from contender_labels import FOUND
from summary_data import SearchRecords
from summary_fixtures import CLASS_NAMES, fake_contenders, fake_run, make_summary
from tables.files import Table
from tables.search import search_costs, search_gains


def test_search_table_counts_cost_and_gain(tables: dict[str, Table]) -> None:
    frame = tables["table7_search"].frame.set_index("quantity")
    assert frame.search[["complete", "pruned", "failed"]].tolist() == [4, 15, 1]
    assert frame.search["epochs_full"] == 20 * 27
    assert frame.search["epochs_saved"] == pytest.approx(1 - frame.search["epochs_spent"] / 540)
    assert frame.search["gain"] == pytest.approx(frame.search["best"] - frame.search["published"])
    assert frame.random["budget"] == 12
    assert np.isnan(frame.random["optimism"])
    tested, _, _ = fake_contenders()
    found = [one.contender for one in tested if one.contender.origin == FOUND]
    optimism = [c.search_val_macro_f1 - c.mean_val_macro_f1 for c in found if c.search_val_macro_f1]
    assert frame.search["mean_optimism"] == pytest.approx(np.mean(optimism))


def test_search_costs_of_a_run_without_an_epoch(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", trials=0)
    assert search_costs(SearchRecords.read(run))["epochs_full"] == 0
    assert "best" not in search_costs(SearchRecords.read(run))


def test_search_costs_count_as_published_what_the_papers_have_and_no_other_label(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    before = search_costs(SearchRecords.read(run))["published"]
    sampled = next(trial for trial in run.trials() if not trial.label and trial.state == COMPLETE)
    run.append_trial(dataclasses.replace(sampled, trial=99, label="another run's trial 5", best_val_macro_f1=0.999))
    costs = search_costs(SearchRecords.read(run))
    assert (costs["best"], costs["published"]) == (0.999, before)


def test_search_costs_leave_out_what_failed(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    best = search_costs(SearchRecords.read(run))["best"]
    diverged = dataclasses.replace(run.trials()[0], trial=99, state=FAILED, best_val_macro_f1=0.999)
    run.append_trial(diverged)
    assert search_costs(SearchRecords.read(run))["best"] == best


def test_search_gains_say_nothing_of_optimism_after_a_shorter_retraining(tmp_path: Path) -> None:
    tested, labels, _ = fake_contenders()
    whole = make_summary(fake_run(tmp_path / "run"), tested, labels, CLASS_NAMES)
    short = [dataclasses.replace(one, contender=dataclasses.replace(one.contender, max_epochs=4)) for one in tested]
    assert "mean_optimism" in search_gains(whole)
    assert set(search_gains(dataclasses.replace(whole, tested=tuple(short)))) == {"test", "retrained_gain"}
