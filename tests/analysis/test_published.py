"""analysis/published.py: what the papers printed, against what their matrices give."""

from pathlib import Path

import pytest

from published import PAPERS, load_papers

MACRO_F1 = {
    "MLNN config 1": 87.35,
    "MLNN config 2": 86.10,
    "MLNN config 3": 87.10,
    "MLNN config 4": 86.69,
    "CNN config 1": 93.37,
    "CNN config 2": 94.33,
    "CNN config 3": 94.22,
    "CNN config 4": 93.70,
}


def test_load_papers_has_the_nine_configurations() -> None:
    results = load_papers().results
    assert list(results) == [*MACRO_F1, "lightweight CNN"]
    assert results["lightweight CNN"].accuracy == 0.94
    assert results["lightweight CNN"].recomputed() == {}
    assert len(load_papers().matrices("mlnn")) == len(load_papers().matrices("cnn")) == 4
    assert load_papers().matrices("lightweight") == []


@pytest.mark.parametrize(("label", "macro_f1"), MACRO_F1.items())
def test_recomputed_macro_f1(label: str, macro_f1: float) -> None:
    assert 100 * load_papers().results[label].recomputed()["macro_f1"] == pytest.approx(macro_f1, abs=0.005)


@pytest.mark.parametrize("label", list(MACRO_F1)[1:])
def test_text_and_matrix_agree(label: str) -> None:
    result = load_papers().results[label]
    assert result.weighted_f1 is not None
    assert 100 * result.recomputed()["weighted_f1"] == pytest.approx(100 * result.weighted_f1, abs=0.005)


def test_disagreements_name_the_one_that_differs() -> None:
    assert load_papers().disagreements() == [
        "MLNN config 1: the text gives a weighted F1 of 88.56 %, the paper's own matrix 88.66 %"
    ]


def test_matrices_have_the_official_rows() -> None:
    papers = load_papers()
    for family in ("mlnn", "cnn"):
        for matrix in papers.matrices(family):
            assert tuple(matrix.sum(axis=1)) == papers.test_counts
    platelets = [int(matrix[7, 7]) for matrix in papers.matrices("cnn")]
    assert platelets == [470, 470, 469, 470]


def test_weighted_f1_percent_is_as_printed() -> None:
    percent = load_papers().weighted_f1_percent()
    assert percent["CNN config 2"] == pytest.approx(95.04)
    assert "lightweight CNN" not in percent


def test_tables_are_as_printed() -> None:
    mlnn, cnn, lightweight = load_papers().tables
    assert mlnn.rows[1] == ("Hidden Layer Size", "1180", "1180", "1180", "1180")
    assert [row[0] for row in cnn.rows].count("Optimizer") == 2
    assert ("Epochs", "10") in lightweight.rows
    for table in (mlnn, cnn, lightweight):
        assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.labels) + 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[176, 1, 0, 51", "[177, 1, 0, 51", "MLNN config 1: row 0 sums to 245, expected 244"),
        ("    [176, 1, 0, 51, 2, 14, 0, 0],\n", "", r"MLNN config 1: matrix \(7, 8\), expected \(8, 8\)"),
    ],
)
def test_load_papers_refuses_a_mistyped_matrix(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "papers.toml"
    file.write_text(PAPERS.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_papers(file)
