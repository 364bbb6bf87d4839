"""Images in files of the cache: when they are written, shared and refused. Sizes of disk and memory are played."""

from __future__ import annotations

import mmap
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data import mapped_images, npz
from bloodtune.data.dataset import load_dataset, load_test_split
from bloodtune.data.mapped_images import MappedSplit
from data_fixtures import make_arrays, save
from error_fixtures import refusal

pytestmark = pytest.mark.usefixtures("home")
GIGABYTE = 10**9


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return save(tmp_path / "cells.npz", make_arrays())


def cached() -> list[str]:
    return sorted(file.name.partition("-")[2] for file in mapped_images.folder().iterdir())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("store", [np.savez, np.savez_compressed])
def test_images_are_mapped_and_equal_those_of_the_file(
    tmp_path: Path, channels: int, store: Callable[..., None]
) -> None:
    arrays = make_arrays(channels=channels)
    store(tmp_path / "a.npz", **arrays)
    dataset = load_dataset(str(tmp_path / "a.npz"))
    for split, name in ((dataset.train, "train"), (dataset.val, "val")):
        assert isinstance(split, MappedSplit) and isinstance(split.images, np.memmap)
        np.testing.assert_array_equal(split.images.reshape(arrays[f"{name}_images"].shape), arrays[f"{name}_images"])
        assert split.images.shape[3] == channels
    assert cached() == ["test.npy", "train.npy", "val.npy"]
    assert dataset.bytes_to_copy == 0


def test_a_second_search_maps_what_the_first_one_wrote(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset(str(cells))
    monkeypatch.setattr(mapped_images, "_write", None)
    assert load_dataset(str(cells)).train.images.tolist() == first.train.images.tolist()
    assert isinstance(load_test_split(str(cells), first.md5), MappedSplit)


def test_a_cached_file_that_is_cut_off_is_written_again(cells: Path) -> None:
    first = load_dataset(str(cells))
    assert isinstance(first.train, MappedSplit)
    content = first.train.images.tolist()
    first.train.file.write_bytes(first.train.file.read_bytes()[:-1])
    assert load_dataset(str(cells)).train.images.tolist() == content


def test_another_process_gets_the_name_of_the_file(cells: Path) -> None:
    train = load_dataset(str(cells)).train
    content = pickle.dumps(train)
    assert train.images[0].tobytes() not in content
    again = pickle.loads(content)
    assert isinstance(again.images, np.memmap)
    assert (again.images.tolist(), again.labels.tolist()) == (train.images.tolist(), train.labels.tolist())


def test_the_first_images_are_mapped_too(cells: Path) -> None:
    train = load_dataset(str(cells)).train
    again = pickle.loads(pickle.dumps(train.first(5)))
    assert isinstance(again, MappedSplit)
    assert (again.images.tolist(), again.labels.tolist()) == (train.images[:5].tolist(), train.labels[:5].tolist())


def test_images_are_read_from_the_disk_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load_dataset(str(save(tmp_path / "a.npz", make_arrays(size=64)))).train
    advice: list[tuple[int, ...]] = []

    class Mapping(mmap.mmap):
        def madvise(self, *given: int) -> None:
            advice.append(given)
            super().madvise(*given)

    monkeypatch.setattr(mmap, "mmap", Mapping)
    again = pickle.loads(pickle.dumps(train.first(7)))
    read = again.reader()
    assert read is not None and advice == [(mmap.MADV_RANDOM,)]
    read([2, 5])
    size = 64 * 64 * 3
    for row, (kind, start, length) in zip((2, 5), advice[1:], strict=True):
        assert kind == mmap.MADV_WILLNEED
        assert (start % mmap.PAGESIZE, start + length) == (0, 128 + (row + 1) * size)
        assert start <= 128 + row * size < start + mmap.PAGESIZE
    assert train.in_memory().reader() is None


def test_images_smaller_than_a_page_are_not_read_one_by_one(cells: Path) -> None:
    assert load_dataset(str(cells)).train.reader() is None


def test_another_host_gets_the_images(cells: Path) -> None:
    train = load_dataset(str(cells)).train
    content = pickle.dumps(train.in_memory())
    assert train.images.tobytes() in content
    assert type(pickle.loads(content)) is npz.Split


def test_arrays_in_another_order_are_read_into_memory(tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays["train_images"] = np.asfortranarray(arrays["train_images"])
    dataset = load_dataset(str(save(tmp_path / "a.npz", arrays)))
    np.testing.assert_array_equal(dataset.train.images, arrays["train_images"])
    assert dataset.bytes_to_copy == dataset.train.images.nbytes + dataset.val.images.nbytes


def test_a_cache_that_cannot_be_written_leaves_the_images_in_memory(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cells))  # a file
    assert type(load_dataset(str(cells)).train) is npz.Split


def test_a_damaged_file_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    cells = save(tmp_path / "cells.npz", make_arrays(size=64))
    content = bytearray(cells.read_bytes())
    content[100_000] ^= 1  # of the first array
    cells.write_bytes(content)
    assert refusal(lambda: load_dataset(str(cells))).startswith(f"{cells}: train_images cannot be read (Bad CRC-32")
    assert list(mapped_images.folder().iterdir()) == []


def test_without_room_on_the_disk_small_images_are_read_into_memory(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_images, "free_disk", lambda folder: 0)
    assert type(load_dataset(str(cells)).train) is npz.Split
    assert not mapped_images.folder().exists()


def test_images_that_fit_nowhere_are_refused_with_the_numbers_before_they_are_read(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_images, "free_disk", lambda folder: 3 * GIGABYTE)
    monkeypatch.setattr(mapped_images, "free_memory", lambda: 24 * GIGABYTE)
    monkeypatch.setattr(mapped_images, "_bytes", lambda shape: 5 * GIGABYTE)
    monkeypatch.setattr(npz, "_read_array", None)
    assert refusal(lambda: load_dataset(str(cells))) == (
        f"{cells}: its images take 15.0 GB; 3.0 GB are free in {mapped_images.folder()}, and 24.0 GB of memory; "
        "allowed: room for them there, or in the folder that XDG_CACHE_HOME names"
    )


def test_an_array_that_does_not_fit_into_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(tmp_path / "a.npz", {"images": np.zeros((10, 100, 100), np.uint8)})
    monkeypatch.setattr("bloodtune.data.room.free_memory", lambda: 50_000)
    told = refusal(lambda: npz.load_images(file))
    assert told == f"{file}: images: 0.0 GB of memory are needed, and 0.0 GB are free; allowed: a smaller set"


def test_files_that_no_search_used_for_a_day_go_beyond_the_limit(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_images, "CACHE_BYTES", 100)
    mapped_images.folder().mkdir(parents=True)
    old, fresh = (mapped_images.folder() / f"{name}-train.npy" for name in ("old", "fresh"))
    broken, begun = (mapped_images.folder() / f".{name}-train.npy-99" for name in ("broken", "begun"))
    for file, hours in ((old, 25), (fresh, 23), (broken, 25), (begun, 0)):
        file.write_bytes(bytes(99))
        os.utime(file, (time.time() - 3600 * hours,) * 2)
    load_dataset(str(cells))
    assert [file.exists() for file in (old, fresh, broken, begun)] == [False, True, False, True]
    monkeypatch.setattr(mapped_images, "CACHE_BYTES", 10**9)
    for file in (fresh, begun):
        os.utime(file, (0, 0))
    load_dataset(str(cells))
    assert (fresh.exists(), begun.exists()) == (True, False), "within the limit only what was never whole goes"
