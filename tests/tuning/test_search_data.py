"""The data of a search: as asked for, or as a resumed run had it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.run.directory import RunDirectory
from bloodtune.run.provenance import describe_data
from bloodtune.tuning import search_data
from bloodtune.tuning.options import SearchOptions
from bloodtune.tuning.search_data import load_data
from data_fixtures import make_arrays, save
from error_fixtures import refusal


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    save(tmp_path / "my cells.npz", make_arrays())
    return tmp_path / "my cells.npz"


@pytest.fixture
def dataset(cells: Path) -> Dataset:
    return load_dataset(str(cells))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "night", "")


def test_a_new_search_takes_the_data_asked_for(cells: Path) -> None:
    assert load_data(SearchOptions(data=str(cells)), {}, None, cluster=False).source == str(cells)


def test_a_resumed_search_finds_its_data_by_itself(cells: Path, dataset: Dataset, run: RunDirectory) -> None:
    before = {"data": {"source": str(cells), "md5": dataset.md5}}
    assert load_data(SearchOptions(), before, run, cluster=False).md5 == dataset.md5


def test_a_resumed_search_takes_its_data_from_another_place(
    tmp_path: Path, cells: Path, dataset: Dataset, run: RunDirectory
) -> None:
    moved = cells.rename(tmp_path / "moved.npz")
    before = {"data": {"source": str(cells), "md5": dataset.md5}}
    assert load_data(SearchOptions(data=str(moved)), before, run, cluster=False).source == str(moved)


def test_a_resumed_search_refuses_other_data(cells: Path, dataset: Dataset, run: RunDirectory) -> None:
    before = {"data": {"source": "/old/cells.npz", "md5": "0123"}}
    assert refusal(lambda: load_data(SearchOptions(data=str(cells)), before, run, cluster=False)) == (
        f"the run belongs to other data: /old/cells.npz (MD5 0123), not {cells} (MD5 {dataset.md5})"
    )


def test_a_resumed_search_has_the_folds_of_its_run(cells: Path, run: RunDirectory) -> None:
    first = load_data(SearchOptions(data=str(cells), folds=3, seed=5), {}, None, cluster=False)
    before = {"data": json.loads(json.dumps(describe_data(first)))}
    again = load_data(SearchOptions(), before, run, cluster=False)
    assert again.folds is not None and first.folds is not None
    assert again.folds.tolist() == first.folds.tolist()
    before["data"]["folds"] = "0123"
    assert "the folds differ from those of the run" in refusal(
        lambda: load_data(SearchOptions(), before, run, cluster=False)
    )


@pytest.mark.parametrize("cluster", [False, True])
def test_a_cluster_is_told_to_the_loader(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, cluster: bool) -> None:
    asked: list[Any] = []

    def load(source: str, preparation: Any, *, cluster: bool) -> Dataset:
        asked.append((source, cluster))
        return dataset

    monkeypatch.setattr(search_data, "load_dataset", load)
    load_data(SearchOptions(data="bloodmnist"), {}, None, cluster)
    assert asked == [("bloodmnist", cluster)]
