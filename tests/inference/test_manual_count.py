"""A manual count beside ours: what its table may look like, and when the two differ by more than chance."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from bloodtune.inference.differential import Tally, differential
from bloodtune.inference.manual_count import ComparedRow, compare_counts, read_manual_count
from error_fixtures import refusal
from model_fixtures import BLOOD


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "manual.csv"
    file.write_text(text, encoding="utf-8")
    return file


def compared(manual: dict[str, int], ours: dict[str, int], names: tuple[str, ...] = BLOOD) -> dict[str, ComparedRow]:
    tally = Tally(names, manual=Counter(manual))
    tally.counts.update(ours)
    return {row.ours.label: row for row in compare_counts(tally)}


def test_a_table_may_use_the_usual_names_and_several_rows_per_class(tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeffClass,Count,note\nband,5\nseg,55,\n\nLymphs,30,reactive\nIG,2\nNRBC,4\n")
    assert read_manual_count(file, BLOOD) == {
        "neutrophil": 60,
        "lymphocyte": 30,
        "immature granulocyte": 2,
        "erythroblast": 4,
    }


def test_classes_that_are_no_blood_cells_are_matched_by_their_names(tmp_path: Path) -> None:
    file = write(tmp_path, "class,count\nBenign,7\nmalignant,3\n")
    assert read_manual_count(file, ("malignant", "benign")) == {"benign": 7, "malignant": 3}


def test_a_usual_name_is_refused_where_several_classes_are_this_cell(tmp_path: Path) -> None:
    names = ("BNE", "SNE", "lymphocyte")
    assert read_manual_count(write(tmp_path, "class,count\nsne,60\nBNE,3\nLymphs,30\n"), names) == {
        "SNE": 60,
        "BNE": 3,
        "lymphocyte": 30,
    }
    file = write(tmp_path, "class,count\nSeg,60\nBand,3\n")
    message = refusal(lambda: read_manual_count(file, names))
    assert message == f"{file}: 'Seg' may be BNE or SNE; allowed: these names"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the first line must be class,count"),
        ("neutrophil,60\n", "the first line must be class,count"),
        ("class,count\nblast,3\n", "the model has no class 'blast'; it has basophil"),
        ("class,count\nmonocyte,7.5\n", "count '7.5' of monocyte: expected a whole number of cells below a billion"),
        ("class,count\nmonocyte,-1\n", "count '-1' of monocyte: expected a whole number of cells below a billion"),
        ("class,count\nmonocyte,99999999999\n", "expected a whole number of cells below a billion"),
        ("class,count\nmonocyte\n", "count '' of monocyte: expected a whole number of cells below a billion"),
        ("class,count\nmonocyte,0\n", "no cell was counted"),
        ("class,count\n", "no cell was counted"),
        ("x" * 1_000_001, "too large for a count"),
    ],
)
def test_a_table_that_is_no_count_is_refused_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    file = write(tmp_path, text)
    message = refusal(lambda: read_manual_count(file, BLOOD))
    assert message.startswith(f"{file}: ") and expected in message and "\n" not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"class,count\nn\xe9utrophile,3\n")
    for file in (tmp_path, tmp_path / "none", tmp_path / "latin"):
        assert refusal(lambda file=file: read_manual_count(file, BLOOD)).startswith(f"{file}: cannot be read: ")


def test_fishers_test_compares_each_class_with_all_others() -> None:
    # 59 of 100 leukocytes against 40 of 100: the tables as rare as this one have a probability of .0107, summed
    # over the hypergeometric distribution. Six classes and the erythroblasts are seven tests.
    rows = compared({"neutrophil": 59, "lymphocyte": 41}, {"neutrophil": 40, "lymphocyte": 60})
    assert rows["neutrophil"].p_value == pytest.approx(0.0107, abs=0.0001)
    assert not rows["neutrophil"].differs and rows["neutrophil"].verdict == "as chance allows"
    rows = compared({"neutrophil": 62, "lymphocyte": 38}, {"neutrophil": 40, "lymphocyte": 60})
    assert rows["neutrophil"].differs and rows["neutrophil"].verdict == "more than chance"
    assert rows["monocyte"].p_value == 1 and not rows["monocyte"].differs


def test_erythroblasts_are_compared_with_leukocytes_and_do_not_change_their_shares() -> None:
    few, many = {"neutrophil": 100, "erythroblast": 1}, {"neutrophil": 100, "erythroblast": 60}
    rows = compared(few, many)
    assert rows["erythroblast"].differs
    assert rows["neutrophil"].p_value == 1


def test_platelets_have_no_test() -> None:
    row = compared({"neutrophil": 100, "platelet": 1}, {"neutrophil": 100, "platelet": 900})["platelet"]
    assert (row.p_value, row.differs, row.verdict) == (None, False, "")


def test_other_classes_are_compared_among_all_images() -> None:
    rows = compared({"a": 90, "b": 10}, {"a": 10, "b": 90}, ("a", "b"))
    assert rows["a"].differs and rows["b"].differs


def test_a_count_without_leukocytes_cannot_be_compared() -> None:
    rows = compared({"neutrophil": 60, "lymphocyte": 40}, {"platelet": 100})
    assert {row.verdict for row in rows.values()} == {""}


def test_without_a_manual_count_nothing_is_compared() -> None:
    assert compared({}, {"neutrophil": 3}) == {}


def test_a_row_as_json_has_both_counts() -> None:
    row = compared({"neutrophil": 60, "lymphocyte": 40}, {"neutrophil": 100})["neutrophil"].as_mapping()
    assert (row["class"], row["manual"]["images"], row["here"]["images"]) == ("neutrophil", 60, 100)
    assert row["differs"] is True


@pytest.mark.parametrize(
    ("images", "low", "high"), [(0, 0, 4), (1, 0, 6), (5, 1, 12), (9, 4, 17), (10, 4, 18), (50, 39, 61), (60, 49, 70)]
)
def test_intervals_of_a_count_of_100_are_those_of_ruemkes_table(images: int, low: int, high: int) -> None:
    row = differential({"neutrophil": images, "lymphocyte": 100 - images}, BLOOD)[0]
    assert row.low is not None and row.high is not None
    assert (math.floor(row.low), math.ceil(row.high)) == (low, high)
