"""The table of the comparison of two models by their mistakes."""

import dataclasses
from pathlib import Path

import numpy as np

from contender_labels import FOUND
from model_choice import choose
from summary_fixtures import CLASS_NAMES, fake_contenders, fake_run, make_summary
from tables.comparison import comparison_table
from tables.files import Table


def test_comparison_table_pairs_the_families(tables: dict[str, Table]) -> None:
    frame = tables["table6_mcnemar"].frame
    assert len(frame) == 6
    assert (frame.p_holm >= frame.p).all()
    np.testing.assert_allclose(frame.accuracy_difference, (frame.c - frame.b) / 400)
    assert "6 comparisons after Holm" in tables["table6_mcnemar"].note


def test_the_best_found_one_is_compared_also_where_a_published_one_wins(tmp_path: Path) -> None:
    tested, labels, _ = fake_contenders()
    tested = [one for one in tested if one.contender.origin != FOUND or one.contender.label == "search #12"]
    weak = next(one.contender for one in tested if one.contender.label == "MLNN config 1")
    found = dataclasses.replace(weak, label="search #12", origin=FOUND)
    tested = [dataclasses.replace(one, contender=found) if one.contender.origin == FOUND else one for one in tested]
    choices = choose([one.contender for one in tested])
    assert (choices.best, choices.found) == ("lightweight CNN", "search #12")
    summary = make_summary(fake_run(tmp_path / "run"), tested, labels, CLASS_NAMES)
    frame = comparison_table(summary, np.random.default_rng(0)).frame
    assert "search #12" in {*frame["first"], *frame["second"]}
