"""The drawn stand-in: what is drawn, and how it is cached."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data import synthetic
from bloodtune.errors import InputError

TINY = {"train": (3, 2, 1, 4, 1, 2, 2, 3), "val": (1,) * 8, "test": (0, 2, 1, 1, 1, 1, 1, 1)}


@pytest.fixture
def tiny_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CLASS_COUNTS", TINY)


def test_draw_dataset_has_medmnist_layout_and_counts() -> None:
    arrays = synthetic.draw_dataset(TINY, seed=0)
    assert set(arrays) == {f"{split}_{kind}" for split in TINY for kind in ("images", "labels")}
    for split, counts in TINY.items():
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        assert (images.shape, images.dtype) == ((sum(counts), 28, 28, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((sum(counts), 1), np.uint8)
        assert tuple(np.bincount(labels.ravel(), minlength=8)) == counts


def test_draw_dataset_repeats_with_its_seed() -> None:
    first, again, other = (synthetic.draw_dataset(TINY, seed) for seed in (5, 5, 6))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["train_images"] != other["train_images"]).any()


def test_draw_dataset_repeats_no_image() -> None:
    arrays = synthetic.draw_dataset({"train": (20,) * 8, "test": (20,) * 8}, seed=0)
    images = np.concatenate([arrays["train_images"], arrays["test_images"]])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_draw_split_is_shuffled() -> None:
    _, labels = synthetic.draw_split((20,) * 8, np.random.default_rng(0))
    assert (np.diff(labels.ravel().astype(int)) < 0).sum() > 40


def test_draw_cells_of_nothing_is_empty() -> None:
    assert synthetic.draw_cells(np.array([], int), np.random.default_rng(0)).shape == (0, 28, 28, 3)


def test_draw_cells_looks_different_for_each_class() -> None:
    generator = np.random.default_rng(0)
    means = []
    for label in range(8):
        images = synthetic.draw_cells(np.full(150, label), generator).astype(float)
        red, green, blue = np.moveaxis(images[:, 6:22, 6:22], 3, 0)
        dark = red < 130
        shares = [100 * dark.mean(), 100 * dark[:, 5:11, 5:11].mean()]
        colours = [red.mean(), green.mean(), blue.mean(), green[:, 6:10, 6:10].mean()]
        means.append([*shares, *colours, np.abs(np.diff(red, axis=2)).mean()])
    for one, other in itertools.combinations(means, 2):
        assert np.abs(np.subtract(one, other)).max() > 5
    areas = [row[0] for row in means]
    assert areas[7] < 0.3 * min(areas[:7])


def test_class_counts_are_the_official_ones() -> None:
    assert [sum(counts) for counts in synthetic.CLASS_COUNTS.values()] == [11_959, 1_712, 3_421]
    totals = np.sum(list(synthetic.CLASS_COUNTS.values()), axis=0)
    assert totals.tolist() == [1218, 3117, 1551, 2895, 1214, 1420, 3329, 2348]


@pytest.mark.usefixtures("tiny_counts")
def test_load_standin_draws_once(tmp_path: Path) -> None:
    file = synthetic.load_standin(tmp_path / "new" / "folder")
    with np.load(file) as arrays:
        expected = synthetic.draw_dataset(TINY, synthetic.SEED)
        for name in expected:
            np.testing.assert_array_equal(arrays[name], expected[name])
    os.utime(file, (1, 1))
    assert synthetic.load_standin(tmp_path / "new" / "folder") == file
    assert file.stat().st_mtime == 1
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.usefixtures("tiny_counts")
def test_load_standin_reads_the_folder_when_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert synthetic.load_standin().parent == tmp_path / "xdg" / "bloodtune"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert synthetic.load_standin().parent == tmp_path / ".cache" / "bloodtune"


@pytest.mark.usefixtures("tiny_counts")
@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped byte", "other counts"])
def test_load_standin_draws_a_broken_cache_again(tmp_path: Path, damage: str) -> None:
    file = synthetic.load_standin(tmp_path)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[3000] ^= 1
    if damage == "other counts":
        np.savez(file, **synthetic.draw_dataset(TINY | {"val": (2,) * 8}, 0))
    else:
        contents = {"empty": b"", "text": b"x" * 99, "truncated": whole[:-99], "flipped byte": bytes(flipped)}
        file.write_bytes(contents[damage])
    assert synthetic.load_standin(tmp_path) == file
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("tiny_counts")
def test_load_standin_leaves_nothing_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(file: Path, **_: object) -> None:
        file.write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_disk)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device; set XDG_CACHE_HOME"):
        synthetic.load_standin(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_load_standin_names_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/cache cannot be written: Not a directory"):
        synthetic.load_standin(tmp_path / "file" / "cache")


@pytest.mark.usefixtures("tiny_counts")
def test_load_standin_is_safe_with_several_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda _: synthetic.load_standin(tmp_path), range(8)))
    assert set(files) == set(tmp_path.iterdir()) == {tmp_path / synthetic.FILE_NAME}
    with np.load(files[0]) as arrays:
        assert arrays["train_images"].shape == (sum(TINY["train"]), 28, 28, 3)


def test_synthetic_needs_no_torch() -> None:
    code = "import sys, bloodtune.data.synthetic; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
