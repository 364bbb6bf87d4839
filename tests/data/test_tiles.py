"""Tiles read in parallel: as prediction reads them, in order, and from the cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data import tiles
from bloodtune.data.photographs import read_tile
from bloodtune.data.tiles import read_tiles
from model_fixtures import photograph

NAMES = [f"{number}.jpg" for number in range(5)]


@pytest.fixture
def folder(tmp_path: Path, home: Path) -> Path:
    for number, name in enumerate(NAMES):
        photograph(tmp_path / name, seed=number)
    (tmp_path / NAMES[3]).write_text("no picture")
    return tmp_path


def test_tiles_are_those_of_prediction_in_order(folder: Path) -> None:
    found = read_tiles(folder, NAMES, size=28, crop=None)
    for number in (0, 1, 2, 4):
        expected, _ = read_tile(folder / NAMES[number], size=28, channels=3)
        np.testing.assert_array_equal(found.images[number], expected)
    assert found.reasons == ("", "", "", "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture", "")
    assert found.sizes.tolist() == [[360, 363]] * 3 + [[0, 0], [360, 363]]
    assert not found.images[3].any()


def test_a_second_reading_comes_from_the_cache_unless_something_changed(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(tiles, "read_tile", lambda *a, **k: read.append(k["crop"]) or read_tile(*a, **k))
    first = read_tiles(folder, NAMES, size=28, crop=None)
    assert len(read) == 5
    again = read_tiles(folder, NAMES, size=28, crop=None)
    assert len(read) == 5
    np.testing.assert_array_equal(again.images, first.images)
    assert (again.reasons, again.digests) == (first.reasons, first.digests)
    read_tiles(folder, NAMES, size=28, crop=100)
    assert len(read) == 10
    photograph(folder / NAMES[3], seed=3)
    assert read_tiles(folder, NAMES, size=28, crop=None).reasons == ("",) * 5
    assert len(read) == 15


def test_a_damaged_cache_or_one_that_cannot_be_written_does_no_harm(folder: Path, home: Path) -> None:
    first = read_tiles(folder, NAMES, size=28, crop=None)
    (cache,) = (home / ".cache").rglob("*.npz")
    cache.write_bytes(cache.read_bytes()[:-50])
    np.testing.assert_array_equal(read_tiles(folder, NAMES, size=28, crop=None).images, first.images)
    cache.parent.rename(cache.parent.with_name("away"))
    cache.parent.write_text("a file in the place of the folder")
    np.testing.assert_array_equal(read_tiles(folder, NAMES, size=28, crop=None).images, first.images)


def test_what_was_not_used_for_longest_leaves_the_cache_first(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for crop in (100, 120, 140):
        read_tiles(folder, NAMES, size=28, crop=crop)
    first, second, third = sorted((home / ".cache").rglob("*.npz"), key=lambda file: file.stat().st_mtime_ns)
    for age, file in enumerate((third, second, first)):
        os.utime(file, (age, age))
    monkeypatch.setattr(tiles, "CACHE_BYTES", 3 * first.stat().st_size)
    read_tiles(folder, NAMES, size=28, crop=140)  # used again: no longer the oldest
    read_tiles(folder, NAMES, size=28, crop=160)
    assert first.exists() and third.exists() and not second.exists()
    monkeypatch.setattr(tiles, "CACHE_BYTES", 1)
    read_tiles(folder, NAMES, size=28, crop=180)
    assert len(list((home / ".cache").rglob("*.npz"))) == 1, "what was read last stays, whatever its size"


def test_a_file_that_vanished_is_named(folder: Path) -> None:
    found = read_tiles(folder, ["none.jpg", NAMES[0]], size=28, crop=None)
    assert found.reasons == ("cannot be read: No such file or directory", "")
