"""The table of F1 scores: published values beside measured ones."""

from pathlib import Path

import numpy as np
import pytest

from table_fixtures import make_tables
from tables.files import Table


def test_f1_table_has_published_beside_measured(tables: dict[str, Table]) -> None:
    table = tables["table3_f1"]
    frame = table.frame.set_index("configuration")
    assert len(frame) == 11
    assert frame.loc["CNN config 2", "published_weighted_f1"] == pytest.approx(0.9504)
    assert frame.loc["CNN config 2", "matrix_macro_f1"] == pytest.approx(0.9433, abs=5e-5)
    assert frame.loc["lightweight CNN", "published_accuracy"] == 0.94
    assert np.isnan(frame.loc["search #12", "published_weighted_f1"])
    assert (frame.weighted_f1_low <= frame.weighted_f1).all()
    shown = table.panels[0].frame.set_index("Configuration")
    assert shown.loc["MLNN config 1", ["Text", "Matrix", "Matrix, macro"]].tolist() == [
        "88.56†",
        "88.66",
        "87.35",
    ]
    accuracy, precision = (panel.frame.set_index("Configuration") for panel in table.panels[1:3])
    assert accuracy.loc["lightweight CNN", "Text, accuracy"] == "≈94"
    assert precision.loc["CNN config 2", "Matrix, precision"] == "95.05"
    assert "the text gives a weighted F1 of 88.56 %, the paper's own matrix 88.66 %" in table.note


def test_f1_table_leaves_published_values_out_of_other_data(tmp_path: Path) -> None:
    made = make_tables(tmp_path, classes=2)
    table = made["table3_f1"]
    assert not [name for name in table.frame if name.startswith(("published_", "matrix_"))]
    assert list(table.panels[0].frame) == ["Configuration", "Weighted F1", "Macro-F1"]
    assert "Published values are left out" in table.note
    pairs = made["table5_confused_pairs"]
    assert list(pairs.frame) == ["configuration", "true", "predicted", "count", "share"]
    assert "paper" not in pairs.caption + pairs.note
