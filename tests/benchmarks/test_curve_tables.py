"""A run of curves is packed into small files, and goes on from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.run.directory import RunDirectory
from bloodtune.space.recipe_file import load_recipe
from command_fixtures import ROOT
from curves import curve_tables
from curves.curve_tables import main, pack, unpack, write_subset
from curves.tables import LAST_EPOCH
from data_fixtures import make_arrays, save


def test_a_packed_run_is_the_same_run_again(tmp_path: Path, run: RunDirectory) -> None:
    pack(run.path, tmp_path / "table")
    unpack(tmp_path / "table", tmp_path / "again")
    again = RunDirectory.open(tmp_path / "again")
    assert again.trials() == run.trials()
    assert again.curves().equals(run.curves())
    assert again.proposals() == run.proposals()
    first = {file.name: file.read_bytes() for file in (tmp_path / "table").iterdir()}
    pack(again.path, tmp_path / "table")
    assert {file.name: file.read_bytes() for file in (tmp_path / "table").iterdir()} == first


def test_a_packed_run_names_no_folder_of_this_machine(tmp_path: Path, run: RunDirectory) -> None:
    known = {"command": "python -m bloodtune.search --data /home/me/a.npz --out /tmp/runs", "source": "/home/me/a.npz"}
    run.write_json("provenance.json", known)
    pack(run.path, tmp_path / "table")
    unpack(tmp_path / "table", tmp_path / "again")
    found = RunDirectory.open(tmp_path / "again").read_json("provenance.json")
    assert found == {"command": "python -m bloodtune.search --data a.npz --out runs", "source": "a.npz"}


def test_a_run_that_exists_is_not_written_over(tmp_path: Path, run: RunDirectory) -> None:
    pack(run.path, tmp_path / "table")
    unpack(tmp_path / "table", tmp_path / "again")
    with pytest.raises(FileExistsError, match="again"):
        unpack(tmp_path / "table", tmp_path / "again")


def test_a_subset_keeps_the_shares_of_the_classes_and_the_other_splits(tmp_path: Path) -> None:
    source, small = save(tmp_path / "all.npz", make_arrays(classes=4, copies=40)), tmp_path / "small.npz"
    write_subset(source, small, 60)
    whole, part = load_dataset(str(source)), load_dataset(str(small))
    assert len(part.train.labels) == 60
    shares = [np.bincount(split.labels) / len(split.labels) for split in (part.train, whole.train)]
    np.testing.assert_allclose(*shares, atol=0.02)
    assert np.array_equal(part.val.images, whole.val.images)


def test_the_command_packs_beside_itself(tmp_path: Path, run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_tables, "FOLDER", tmp_path)
    assert main(["pack", str(run.path), "blood"]) == 0
    assert main(["unpack", "blood", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "trials.csv").read_bytes() == (run.path / "trials.csv").read_bytes()


def test_its_space_holds_the_default_one_and_stops_nothing() -> None:
    wide, default = load_recipe(str(ROOT / "benchmarks" / "curves" / "space.toml")), load_recipe("default")
    assert wide.asha.rungs == ()
    assert wide.asha.max_epochs == LAST_EPOCH
    assert {p.field for p in wide.parameters} == {p.field for p in default.parameters}
