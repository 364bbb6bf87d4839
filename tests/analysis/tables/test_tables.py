"""The modules of the tables: what stands in them, in which words and digits, and in which files."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import medmnist
import numpy as np
import pandas as pd
import pytest

from bloodtune.run.records import COMPLETE, FAILED
from bloodtune.training.metrics import Interval
from bloodtune.tuning.retrained_models import TestedContender
from contender_labels import FOUND
from display_names import data_sentence, is_blood
from model_choice import choose
from summary_data import SearchRecords
from summary_fixtures import CLASS_NAMES, fake_contenders, fake_provenance, fake_run, make_summary
from tables.all_tables import all_tables, write_tables
from tables.classes import per_class_table
from tables.comparison import comparison_table
from tables.files import (
    SCRIPTSIZE_CHARACTERS,
    Panel,
    Table,
    escape_latex,
    shown_width,
    to_latex,
    to_markdown,
    write_table,
)
from tables.number_format import decimals_of, p_value, percent
from tables.search import search_costs, search_gains

NAMES = [
    "table1_mlnn_configurations",
    "table2_cnn_configurations",
    "table2b_lightweight_configuration",
    "table3_f1",
    "table4_per_class",
    "table5_confused_pairs",
    "table6_mcnemar",
    "table7_search",
    "table8_frontier",
]


def make_tables(
    folder: Path,
    *,
    classes: int = 8,
    synthetic: bool = False,
    control: bool = False,
    keep: tuple[str, ...] | None = None,
) -> dict[str, Table]:
    tested, labels, names = fake_contenders(classes=classes)
    if keep is not None:
        tested = [one for one in tested if one.contender.label in keep]
    run = fake_run(folder / "a_run", synthetic=synthetic)
    random = fake_run(folder / "random", trials=12) if control else None
    tables = all_tables(make_summary(run, tested, labels, names, random, 100), np.random.default_rng(0))
    return {table.name: table for table in tables}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return make_tables(tmp_path_factory.mktemp("runs"), control=True)


def test_all_tables_are_there_in_order(tables: dict[str, Table]) -> None:
    assert list(tables) == NAMES


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


def test_configuration_tables_mark_what_is_ours(tables: dict[str, Table]) -> None:
    frame = tables["table1_mlnn_configurations"].frame.set_index("Param")
    assert frame.loc["Learning Rate"].tolist() == ["0.01", "0.001", "0.01", "0.001"]
    assert frame.loc["Batch Size*"].tolist() == ["128"] * 4
    assert re.fullmatch(r"10 \(kept: \d+\)", frame.loc["Epochs Trained*", "Config-1"])
    lightweight = tables["table2b_lightweight_configuration"]
    assert lightweight.frame.set_index("Param").loc["Learning Rate*"].item() == "0.01"
    assert "16, 16, 64, 64, 64" in lightweight.note


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


def test_no_table_is_wider_than_a_page(tables: dict[str, Table]) -> None:
    name = "search #123, 81 epochs (chosen)"
    for table in tables.values():
        for panel in table.panels:
            frame = panel.frame.replace("search #12 (chosen)", name)
            assert shown_width(frame) <= SCRIPTSIZE_CHARACTERS, f"{table.name}: {panel.title}"
    assert (tables["table3_f1"].panels[0].frame == "search #12 (chosen)").any(axis=None)


def test_f1_table_leaves_published_values_out_of_other_data(tmp_path: Path) -> None:
    made = make_tables(tmp_path, classes=2)
    table = made["table3_f1"]
    assert not [name for name in table.frame if name.startswith(("published_", "matrix_"))]
    assert list(table.panels[0].frame) == ["Configuration", "Weighted F1", "Macro-F1"]
    assert "Published values are left out" in table.note
    pairs = made["table5_confused_pairs"]
    assert list(pairs.frame) == ["configuration", "true", "predicted", "count", "share"]
    assert "paper" not in pairs.caption + pairs.note


def test_tables_do_without_some_configurations(tmp_path: Path) -> None:
    made = make_tables(tmp_path, keep=("CNN config 1", "search #12"))
    assert list(made) == NAMES
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


def test_frontier_table_has_the_smallest_first(tables: dict[str, Table]) -> None:
    frame = tables["table8_frontier"].frame.set_index("configuration")
    assert frame.parameters.is_monotonic_increasing and len(frame) == 11
    assert frame.loc["lightweight CNN", ["on_parameter_frontier", "on_speed_frontier"]].tolist() == [True, False]
    assert frame.loc["search #12", ["views", "images_per_second"]].tolist() == [8, 13_300 / 8]
    shown = tables["table8_frontier"].panels[0].frame.set_index("Configuration")
    assert shown.loc["lightweight CNN", ["Parameters", "Images/s", "On the frontier of"]].tolist() == [
        *("217,000", "4,600", "parameters")
    ]
    assert set(shown["On the frontier of"]) == {"parameters", "images/s", "both", "–"}
    assert "search #12 (chosen)" in shown.index
    assert "on one core of Some CPU; the median of 5 rounds. No choice depends" in tables["table8_frontier"].note


def test_confused_pairs_table_counts_both(tables: dict[str, Table]) -> None:
    frame = tables["table5_confused_pairs"].frame
    mlnn = frame[frame.configuration.str.startswith("MLNN")]
    assert mlnn["count"].is_monotonic_decreasing
    assert (frame.true != frame.predicted).all()
    shown = tables["table5_confused_pairs"].panels[0].frame
    assert shown.iloc[0, 0] == f"{mlnn.true.iloc[0]} → {mlnn.predicted.iloc[0]}"
    assert list(shown)[3] == "Paper's MLNNs"


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


def test_choose_takes_the_best_mean_of_each_family() -> None:
    contenders = [one.contender for one in fake_contenders()[0]]
    choices = choose(contenders)
    assert choices.best == choices.found == "search #12"
    assert choose([one for one in contenders if one.origin != FOUND]).found is None
    assert list(choices.by_family) == ["mlnn", "cnn", "lightweight", "residual"]
    assert "residual" not in choices.published_by_family
    assert choices.labels()[-1] == choices.best
    with pytest.raises(ValueError, match="no contender to choose from: nothing was retrained"):
        choose([])


def test_write_table_writes_three_files(tables: dict[str, Table], tmp_path: Path) -> None:
    paths = write_tables(list(tables.values()), tmp_path)
    assert sorted(path.name for path in paths) == sorted(
        f"{name}.{suffix}" for name in NAMES for suffix in ("csv", "md", "tex")
    )
    frame = pd.read_csv(tmp_path / "table3_f1.csv")
    expected = tables["table3_f1"].frame.weighted_f1
    np.testing.assert_allclose(frame.weighted_f1.to_numpy(), expected, rtol=1e-5)


def test_write_table_escapes_its_cells(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a|b": ["1"], "c": ["x_y"]})
    _, markdown, _ = write_table(Table("t", "100 % of A & B", frame, (Panel("", frame),)), tmp_path)
    assert markdown.read_text() == "100 % of A & B\n\n| a\\|b | c    |\n| ---: | ---- |\n|    1 | x_y  |\n"


def test_latex_files_are_whole(tables: dict[str, Table], tmp_path: Path) -> None:
    write_tables(list(tables.values()), tmp_path)
    for name in NAMES:
        text = (tmp_path / f"{name}.tex").read_text()
        plain = re.sub(r"\\[\\{}%&#_$]", "", text)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert "%" not in plain
        assert "_" not in plain
        assert text.isascii(), [character for character in text if not character.isascii()]
        for begin, end in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*?)\\end", text, re.DOTALL):
            rows = [line for line in end.splitlines() if line.endswith(r"\\")]
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(begin) - 1}
        assert text.count(r"\begin{") == text.count(r"\end{")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_files_compile(tables: dict[str, Table], tmp_path: Path) -> None:
    write_tables(list(tables.values()), tmp_path)
    inputs = "\n".join(rf"\input{{{name}}}" for name in NAMES)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_escape_latex() -> None:
    assert escape_latex("a_b & 5 % ± #1 {x} \\ <") == (r"a\_b \& 5 \% $\pm$ \#1 \{x\} \textbackslash{} \textless{}")


def test_to_latex_guards_a_row_that_starts_with_a_bracket() -> None:
    text = to_latex(Table("name", "caption", pd.DataFrame(), (Panel("", pd.DataFrame({"a": ["1", "[2"]})),)))
    assert "1 \\\\\n{}[2 \\\\" in text


def test_to_latex_continues_what_is_longer_than_a_page() -> None:
    panels = tuple(Panel(f"part {part}", pd.DataFrame({"a": ["1"] * 20})) for part in range(3))
    text = to_latex(Table("name", "What it is.", pd.DataFrame(), panels, "More.", "synthetic"))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\label{tab:name}") == text.count("More.") == 1
    assert r"\addtocounter{table}{-1}\caption{What it is (continued). Data: synthetic.}" in text


def test_percent_and_its_decimals() -> None:
    wide, narrow = Interval(0.95, 0.943, 0.957), Interval(0.9985, 0.9979, 0.999)
    assert percent(wide, decimals_of([wide])) == "95.0 [94.3, 95.7]"
    assert percent(narrow, decimals_of([narrow])) == "99.85 [99.79, 99.90]"
    assert percent(Interval(-0.01, -0.02, 0.01), 1, sign=True) == "−1.0 [−2.0, +1.0]"


def test_p_value_has_a_floor() -> None:
    assert [p_value(p) for p in (1e-9, 0.00099, 0.0123, 1.0)] == ["<0.001", "<0.001", "0.012", "1.000"]


def test_data_sentence_tells_official_from_rebuilt() -> None:
    provenance = fake_provenance()
    assert data_sentence(provenance) == (
        "Data: bloodmnist_rebuilt (rebuilt split; MD5 00112233445566778899aabbccddeeff)."
    )
    own = {"data": provenance["data"] | {"class_names": ["a", "b"], "title": "my cells"}}
    assert data_sentence(own).startswith("Data: my cells (user-supplied data; MD5 ")
    md5 = medmnist.INFO["bloodmnist"]["MD5"]
    provenance["data"] |= {"title": "bloodmnist", "md5": md5}
    assert data_sentence(provenance) == f"Data: bloodmnist (official BloodMNIST, 28 px file; MD5 {md5})."
    provenance["data"] |= {"title": "breastmnist_64", "md5": medmnist.INFO["breastmnist"]["MD5_64"]}
    assert "official BreastMNIST, 64 px file" in data_sentence(provenance)
    assert data_sentence(fake_provenance(synthetic=True)).startswith("Data: synthetic stand-in for BloodMNIST (")


def test_is_blood_knows_the_classes() -> None:
    assert is_blood(CLASS_NAMES)
    assert not is_blood(["malignant", "normal, benign"])
    assert not is_blood(CLASS_NAMES[::-1])
