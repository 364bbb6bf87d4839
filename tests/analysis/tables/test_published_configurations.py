"""The papers' tables of configurations: what is printed in them, and the rows added by us."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bloodtune.tuning.retrained_models import Contender
from published import load_papers
from summary_fixtures import fake_contenders
from tables.files import Table
from tables.published_configurations import configuration_tables

CONTENDERS = {one.contender.label: one.contender for one in fake_contenders(images=20)[0]}


def make_tables(contenders: dict[str, Contender] = CONTENDERS, mark: str = "") -> dict[str, Table]:
    summary: Any = SimpleNamespace(contenders=contenders, mark=mark)
    return {table.name: table for table in configuration_tables(summary)}


def rows_of(table: Table) -> dict[str, list[str]]:
    """Return the cells of each row; a name that the paper prints twice keeps the last one."""
    return {name: list(cells) for name, *cells in table.frame.to_numpy().tolist()}


def with_seeds(label: str, *seeds: tuple[float, int, int]) -> dict[str, Contender]:
    """Return the contenders, of which one has these scores, epochs and best epochs."""
    contender = CONTENDERS[label]
    retrainings = tuple(
        dataclasses.replace(one, val_macro_f1=score, epochs=epochs, best_epoch=best)
        for one, (score, epochs, best) in zip(contender.retrainings, seeds, strict=True)
    )
    return CONTENDERS | {label: dataclasses.replace(contender, retrainings=retrainings)}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_table_begins_with_the_rows_that_the_paper_prints(number: int) -> None:
    printed, table = load_papers().tables[number], list(make_tables().values())[number]
    assert (table.name, list(table.frame), table.caption) == (printed.name, list(printed.columns), f"{printed.title}.")
    assert [tuple(row) for row in table.frame.to_numpy()[: len(printed.rows)]] == list(printed.rows)


def test_rows_of_our_own_come_last_and_have_a_star() -> None:
    names = {name: table.frame.iloc[:, 0].tolist() for name, table in make_tables().items()}
    assert names["table2_cnn_configurations"][-2:] == ["Batch Size*", "Epochs Trained*"]
    assert names["table2b_lightweight_configuration"][-4:] == [
        *("Learning Rate*", "Momentum*", "Dropout*", "Epochs Trained*")
    ]
    assert all(name.endswith("*") == (at >= 6) for at, name in enumerate(names["table2_cnn_configurations"]))


def test_values_that_a_paper_leaves_out_are_those_of_our_configuration() -> None:
    rows = rows_of(make_tables()["table2b_lightweight_configuration"])
    assert (rows["Learning Rate*"], rows["Momentum*"], rows["Dropout*"]) == (["0.01"], ["0.9"], ["0"])


def test_a_value_that_does_not_apply_is_a_dash() -> None:
    adam = dataclasses.replace(CONTENDERS["lightweight CNN"], configuration=CONTENDERS["CNN config 2"].configuration)
    rows = rows_of(make_tables(CONTENDERS | {"lightweight CNN": adam})["table2b_lightweight_configuration"])
    assert (rows["Learning Rate*"], rows["Momentum*"]) == (["0.001"], ["–"])


def test_epochs_are_those_of_the_median_seed() -> None:
    contenders = with_seeds("MLNN config 2", (0.9, 40, 30), (0.7, 20, 10), (0.8, 31, 21))
    rows = rows_of(make_tables(contenders)["table1_mlnn_configurations"])
    assert rows["Epochs Trained*"][1] == "31 (kept: 21)"


def test_a_configuration_that_was_not_trained_has_dashes_in_our_rows_alone() -> None:
    contenders = {label: one for label, one in CONTENDERS.items() if label != "CNN config 3"}
    rows = rows_of(make_tables(contenders)["table2_cnn_configurations"])
    assert (rows["Batch Size*"], rows["Epochs Trained*"][2]) == (["128", "128", "–", "128"], "–")
    assert rows["Loss Function"][2] == "NLLLoss"


def test_the_note_says_what_else_was_assumed() -> None:
    note = make_tables()["table2_cnn_configurations"].note
    assert note.endswith(
        "Also assumed: dropout after both hidden linear layers; "
        "normalisation pixels to -1 to 1, as in the MedMNIST tutorial."
    )


def test_a_table_shows_its_frame_as_it_is_with_the_mark_of_the_data() -> None:
    for table in make_tables(mark="my cells, rebuilt split").values():
        (panel,) = table.panels
        pd.testing.assert_frame_equal(panel.frame, table.frame)
        assert (panel.title, table.mark) == ("", "my cells, rebuilt split")


def test_configuration_tables_mark_what_is_ours(tables: dict[str, Table]) -> None:
    frame = tables["table1_mlnn_configurations"].frame.set_index("Param")
    assert frame.loc["Learning Rate"].tolist() == ["0.01", "0.001", "0.01", "0.001"]
    assert frame.loc["Batch Size*"].tolist() == ["128"] * 4
    assert re.fullmatch(r"10 \(kept: \d+\)", frame.loc["Epochs Trained*", "Config-1"])
    lightweight = tables["table2b_lightweight_configuration"]
    assert lightweight.frame.set_index("Param").loc["Learning Rate*"].item() == "0.01"
    assert "16, 16, 64, 64, 64" in lightweight.note
