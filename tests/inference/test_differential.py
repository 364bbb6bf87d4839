"""The differential count against what a laboratory would write."""

import numpy as np
import pytest

from bloodtune.inference.differential import Prediction, Row, Tally, Unreadable, differential, is_blood
from model_fixtures import BLOOD

COUNTS = {"neutrophil": 60, "lymphocyte": 30, "monocyte": 6, "eosinophil": 3, "basophil": 1}


def by_label(rows: list[Row]) -> dict[str, Row]:
    return {row.label: row for row in rows}


def test_shares_are_of_leukocytes_alone() -> None:
    rows = by_label(differential(COUNTS | {"erythroblast": 25, "platelet": 400}, BLOOD))
    assert (rows["neutrophil"].value, rows["neutrophil"].unit) == (60, "% of leukocytes")
    assert sum(row.value or 0 for row in rows.values() if row.unit == "% of leukocytes") == pytest.approx(100)
    # The exact interval of 60 of 100, by quantiles of the beta distribution.
    assert (rows["neutrophil"].low, rows["neutrophil"].high) == pytest.approx((49.72, 69.67), abs=0.01)
    assert rows["immature granulocyte"].low == pytest.approx(0)
    assert rows["immature granulocyte"].high == pytest.approx(3.62, abs=0.01)


def test_erythroblasts_are_per_100_leukocytes_and_platelets_apart() -> None:
    rows = by_label(differential(COUNTS | {"erythroblast": 25, "platelet": 400}, BLOOD))
    assert (rows["erythroblast"].value, rows["erythroblast"].unit) == (25, "per 100 leukocytes")
    # 25 of 125 is .134 to .281 by quantiles of the beta distribution, as odds.
    assert (rows["erythroblast"].low, rows["erythroblast"].high) == pytest.approx((15.4, 39.1), abs=0.1)
    assert rows["platelet"] == Row("platelet", 400, "counted apart")
    assert rows["platelet"].cells() == ("", "")
    assert rows["neutrophil"].cells() == ("60.0", "49.7–69.7")


def test_without_leukocytes_there_is_nothing_to_relate_a_count_to() -> None:
    rows = by_label(differential({"erythroblast": 3}, BLOOD))
    assert {row.value for row in rows.values()} == {None}
    assert rows["erythroblast"].images == 3


def test_other_classes_are_shares_of_all_images() -> None:
    rows = differential({"benign": 3}, ("malignant", "benign"))
    assert [(row.label, row.value, row.unit) for row in rows] == [
        ("malignant", 0, "% of images"),
        ("benign", 100, "% of images"),
    ]


def test_usual_names_of_cells_give_a_differential_count_too() -> None:
    names = ("platelet", "BNE", "SNE", "ig", "LYMPHOCYTES", "Mono", "ERB")
    rows = differential({"BNE": 10, "SNE": 50, "ig": 4, "LYMPHOCYTES": 30, "Mono": 6, "ERB": 25, "platelet": 9}, names)
    assert [(row.label, row.value, row.unit) for row in rows] == [
        ("BNE", 10, "% of leukocytes"),
        ("SNE", 50, "% of leukocytes"),
        ("ig", 4, "% of leukocytes"),
        ("LYMPHOCYTES", 30, "% of leukocytes"),
        ("Mono", 6, "% of leukocytes"),
        ("ERB", 25, "per 100 leukocytes"),
        ("platelet", None, "counted apart"),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (BLOOD, True),
        (("neutrophil", "lymphocyte"), True),
        (("Segmented neutrophils", "immature_granulocyte", "Nucleated Red-Blood Cells"), True),
        (("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet"), True),
        (("neutrophil", "platelet"), False),  # shares of one kind of leukocyte say nothing
        (("neutrophil", "lymphocyte", "blast"), False),
        (("class 0", "class 1"), False),
    ],
)
def test_classes_are_blood_if_all_are_cells_and_two_are_leukocytes(names: tuple[str, ...], expected: bool) -> None:
    assert is_blood(names) == expected


def test_a_tally_knows_what_is_unsure_and_what_could_not_be_read() -> None:
    tally = Tally(BLOOD)
    for sure in (True, False):
        tally.add(Prediction("a", "monocyte", "lymphocyte", np.array([0.7, 0.3]), sure))
    assert tally.summary(0.8) == "2 images counted, 1 of them unsure (below 0.80)"
    tally.add(Unreadable("b", "damaged"))
    assert (tally.images, tally.unsure["monocyte"], tally.unreadable) == (2, 1, 1)
    assert tally.summary(0.8) == "2 images counted, 1 of them unsure (below 0.80); 1 file could not be read"
    assert by_label(tally.rows())["monocyte"].value == 100
