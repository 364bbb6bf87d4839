"""All tables of a summary: their order, captions and marks, and what they do without."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from bloodtune.tuning.retrained_models import TestedContender
from summary_fixtures import fake_contenders, fake_run, make_summary
from table_fixtures import TABLE_NAMES, make_tables
from tables.all_tables import all_tables, write_tables
from tables.files import SCRIPTSIZE_CHARACTERS, Panel, Table, shown_width, to_latex, to_markdown


def test_all_tables_are_there_in_order(tables: dict[str, Table]) -> None:
    assert list(tables) == TABLE_NAMES


def test_files_carry_the_mark_of_the_data_and_not_its_md5(tables: dict[str, Table]) -> None:
    for table in tables.values():
        for text in (to_markdown(table), to_latex(table)):
            assert "Data: bloodmnist" in text and "rebuilt split." in text
            assert "MD5" not in text and "synthetic" not in text


def test_a_table_of_official_data_has_no_mark() -> None:
    table = Table("t", "Caption.", pd.DataFrame({"a": [1]}), (Panel("", pd.DataFrame({"a": ["1"]})),), "Note.")
    assert "Data" not in to_markdown(table) + to_latex(table)


def test_captions_are_one_sentence(tables: dict[str, Table]) -> None:
    for table in tables.values():
        assert table.caption.endswith(".") and ". " not in table.caption


def test_files_say_synthetic(tmp_path: Path) -> None:
    assert all("Synthetic" in to_latex(table) for table in make_tables(tmp_path, synthetic=True).values())


def test_no_table_is_wider_than_a_page(tables: dict[str, Table]) -> None:
    name = "search #123, 81 epochs (chosen)"
    for table in tables.values():
        for panel in table.panels:
            frame = panel.frame.replace("search #12 (chosen)", name)
            assert shown_width(frame) <= SCRIPTSIZE_CHARACTERS, f"{table.name}: {panel.title}"
    assert (tables["table3_f1"].panels[0].frame == "search #12 (chosen)").any(axis=None)


def test_tables_do_without_some_configurations(tmp_path: Path) -> None:
    made = make_tables(tmp_path, keep=("CNN config 1", "search #12"))
    assert list(made) == TABLE_NAMES
    assert made["table1_mlnn_configurations"].frame.iloc[-1, 1:].tolist() == ["–"] * 4
    assert made["table6_mcnemar"].frame[["first", "second"]].to_numpy().tolist() == [["CNN config 1", "search #12"]]


def test_tables_do_with_one_configuration_and_one_seed(tmp_path: Path) -> None:
    tested, labels, names = fake_contenders()
    contender = tested[0].contender
    single = dataclasses.replace(contender, retrainings=contender.retrainings[:1])
    one = TestedContender(single, tested[0].probabilities[:1])
    run = fake_run(tmp_path / "run", trials=3)
    made = all_tables(make_summary(run, [one], labels, names), np.random.default_rng(0))
    write_tables(made, tmp_path / "tables")
    assert "table6_mcnemar" not in [table.name for table in made], "there is nothing to compare"
    assert "±" not in made[3].panels[3].frame.iloc[0, 1]
