"""The tables of classes: scores per class, and confused pairs."""

import dataclasses
from pathlib import Path

from summary_fixtures import fake_contenders, fake_run, make_summary
from tables.classes import per_class_table
from tables.files import Table


def test_per_class_table_has_each_family(tables: dict[str, Table]) -> None:
    table = tables["table4_per_class"]
    assert len(table.frame) == 4 * 8
    assert table.frame["class"].iloc[3] == "immature granulocyte"
    assert table.frame.groupby("configuration").support.sum().unique().tolist() == [400]
    assert [panel.title.split("(")[1] for panel in table.panels] == [
        "best MLNN)",
        "best CNN)",
        "best lightweight CNN)",
        "best residual network, chosen)",
    ]


def test_a_chosen_model_that_is_not_the_best_of_its_family_is_not_called_so(tmp_path: Path) -> None:
    tested, labels, names = fake_contenders()
    summary = make_summary(fake_run(tmp_path / "run"), tested, labels, names)
    other = next(f"CNN config {i}" for i in (1, 2) if f"CNN config {i}" != summary.choices.by_family["cnn"])
    small = dataclasses.replace(summary, choices=dataclasses.replace(summary.choices, best=other))
    titles = [panel.title for panel in per_class_table(small).panels]
    assert titles[-1] == f"{other} (chosen)"
    assert "search #12 (best residual network)" in titles


def test_confused_pairs_table_counts_both(tables: dict[str, Table]) -> None:
    frame = tables["table5_confused_pairs"].frame
    mlnn = frame[frame.configuration.str.startswith("MLNN")]
    assert mlnn["count"].is_monotonic_decreasing
    assert (frame.true != frame.predicted).all()
    shown = tables["table5_confused_pairs"].panels[0].frame
    assert shown.iloc[0, 0] == f"{mlnn.true.iloc[0]} → {mlnn.predicted.iloc[0]}"
    assert list(shown)[3] == "Paper's MLNNs"
