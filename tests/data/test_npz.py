"""MedMNIST files by themselves: which arrays are read, in which form, and what their checks say."""

from __future__ import annotations

import errno
import io
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from bloodtune.data.dataset import load_dataset
from bloodtune.data.npz import SPLITS, Split, check_shape, count_classes, load_images, open_archive, read_split
from data_fixtures import make_arrays, save
from error_fixtures import refusal


class StandIn(dict[str, Any]):
    """An archive whose arrays are given; one that is an error is raised."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, BaseException):
            raise found
        return found


def images_of(count: int, *shape: int) -> np.ndarray:
    return np.arange(count * int(np.prod(shape)), dtype=np.uint32).astype(np.uint8).reshape(count, *shape)


def split_of(*labels: int, shape: tuple[int, ...] = (8, 8, 3)) -> Split:
    return Split(images_of(len(labels), *shape), np.array(labels, dtype=np.int64))


# Images without labels


def test_load_images_returns_the_arrays_whose_names_end_in_images(tmp_path: Path) -> None:
    cells = images_of(2, 8, 8, 3)
    file = save(
        tmp_path / "a.npz", {"images": cells, "images_of": cells, "labels": np.zeros(2), "my_images": 1 + cells}
    )
    found = load_images(file)
    assert list(found) == ["images", "my_images"]
    np.testing.assert_array_equal(found["my_images"], 1 + cells)


def test_load_images_gives_grey_images_a_channel(tmp_path: Path) -> None:
    cells = images_of(2, 9, 9)
    found = load_images(save(tmp_path / "a.npz", {"images": cells}))["images"]
    assert found.shape == (2, 9, 9, 1)
    np.testing.assert_array_equal(found[..., 0], cells)


def test_load_images_are_contiguous_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    cells = images_of(2, 8, 8, 3)
    found = load_images(save(tmp_path / "a.npz", {"images": np.asfortranarray(cells)}))["images"]
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, cells)


def test_load_images_names_the_first_twelve_arrays_of_a_file_without_images(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npz", {f"a{number}": np.zeros(1) for number in range(13)})
    assert refusal(lambda: load_images(file)) == (
        f"{file} has no array of images; found a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11; "
        "allowed: names that end in images"
    )


def test_load_images_names_the_array_that_cannot_be_used(tmp_path: Path) -> None:
    cells = images_of(2, 8, 8, 3)
    file = save(tmp_path / "a.npz", {"images": cells, "more_images": cells[:, :, :5]})
    assert refusal(lambda: load_images(file)) == (f"{file}: more_images has shape (2, 8, 5, 3); allowed: square images")


# Archives


def test_an_archive_may_be_opened_for_some_of_its_arrays(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npz", {"val_labels": np.arange(3)})
    with open_archive(file, needed=("val_labels",)) as archive:
        assert archive["val_labels"].tolist() == [0, 1, 2]
    message = refusal(lambda: open_archive(file, needed=("val_labels", "val_images")).__enter__())
    assert message == f"{file} lacks val_images; found val_labels; needed: val_labels, val_images"


def test_an_archive_without_arrays_has_none_to_name(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(b"PK\x05\x06" + 18 * b"\0")
    assert refusal(lambda: load_images(file)) == (
        f"{file} has no array of images; found no array; allowed: names that end in images"
    )


def test_an_archive_is_closed_at_the_end(tmp_path: Path) -> None:
    with open_archive(save(tmp_path / "a.npz", make_arrays())) as archive:
        stream = archive.fid or archive.zip.fp
        assert not stream.closed
    assert stream.closed


def test_an_archive_that_begins_as_something_else_is_no_npz_file(tmp_path: Path) -> None:
    array, file = io.BytesIO(), tmp_path / "a.npz"
    np.save(array, np.zeros(3))
    archive = save(tmp_path / "b.npz", make_arrays()).read_bytes()
    for content in (array.getvalue() + archive, b"\0" + archive[1:], b"{}" + archive):
        file.write_bytes(content)
        told = f"{file} does not begin as an .npz file does; allowed: a MedMNIST .npz file"
        assert refusal(lambda: load_images(file)) == told  # numpy would warn of pickles


def test_a_header_that_asks_for_more_than_the_file_has_is_damage(tmp_path: Path) -> None:
    array, file = io.BytesIO(), tmp_path / "a.npz"
    npy.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 8, 8)})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", array.getvalue() + b"1234")
    told = "its header asks for 64,000,000,000 bytes, and it has 132"
    assert refusal(lambda: load_images(file)) == f"{file}: images cannot be read ({told}); allowed: a numpy array"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EINVAL, "Invalid argument"), "its zip directory names a place that it does not have"),
        (tokenize.TokenError("EOF in multi-line statement", (2, 0)), "its header is damaged"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
    ],
)
def test_a_damaged_array_is_said_to_be_damaged(error: Exception, reason: str) -> None:
    archive = StandIn(val_images=error)
    told = f"a.npz: val_images cannot be read ({reason}); allowed: a numpy array"
    assert refusal(lambda: read_split(archive, "val", Path("a.npz"))) == told  # type: ignore[arg-type]


# One split


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_labels_of_any_integer_type_become_one_row_of_int64(dtype: type, shape: tuple[int, ...]) -> None:
    labels = np.array([2, 0, 1], dtype=dtype).reshape(shape)
    archive = StandIn(val_images=images_of(3, 8, 8), val_labels=labels)
    split = read_split(archive, "val", Path("a.npz"))  # type: ignore[arg-type]
    assert (split.labels.dtype, split.labels.tolist()) == (np.int64, [2, 0, 1])
    assert split.images.shape == (3, 8, 8, 1)


def test_an_array_that_is_too_large_for_the_memory_is_said() -> None:
    archive = StandIn(val_images=MemoryError(), val_labels=np.zeros(3, int))
    assert refusal(lambda: read_split(archive, "val", Path("a.npz"))) == (  # type: ignore[arg-type]
        "a.npz: val_images does not fit into memory; allowed: a smaller set"
    )


def test_as_many_labels_as_images_are_needed() -> None:
    archive = StandIn(val_images=images_of(3, 8, 8), val_labels=np.zeros(2, int))
    assert refusal(lambda: read_split(archive, "val", Path("a.npz"))) == (  # type: ignore[arg-type]
        "a.npz: val_images has 3 images and val_labels has 2 labels; allowed: one label per image"
    )


# Two splits


def test_splits_may_differ_in_the_number_of_images_alone() -> None:
    train = split_of(0, 1)
    check_shape(split_of(0, 1, 0), train, "a.npz: val_images")
    assert refusal(lambda: check_shape(split_of(0, 1, shape=(8, 8, 1)), train, "a.npz: val_images")) == (
        "a.npz: val_images has images of (8, 8, 1); allowed: (8, 8, 3), as in train"
    )


def test_images_are_counted_class_by_class() -> None:
    assert count_classes(split_of(2, 0, 1, 1, 2, 2), 0, "a.npz: train_labels") == (1, 2, 3)
    assert count_classes(split_of(0, 1, 2, 0), 3, "a.npz: val_labels") == (2, 1, 1)


WAY_OUT = "move images there, or leave the class out"


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ((0, 1, -2), 0, "labels has label -2; allowed: 0 and above"),
        ((0, 1, 2), 2, "labels has label 2; allowed: 0 to 1, as in train_labels"),
        ((0, 0), 0, "labels has one class; allowed: two or more"),
        ((0, 1, 4), 0, "labels has no image of class 2 and 1 more; allowed: each of the classes 0 to 4; " + WAY_OUT),
        ((1, 2), 3, "labels has no image of class 0; allowed: each of the classes 0 to 2; number the classes from 0"),
        ((0, 1), 4, "labels has no image of class 2 and 1 more; allowed: each of the classes 0 to 3; " + WAY_OUT),
    ],
)
def test_the_first_class_that_does_not_fit_is_named(labels: tuple[int, ...], classes: int, message: str) -> None:
    assert refusal(lambda: count_classes(split_of(*labels), classes, "labels")) == message


def test_a_member_whose_compression_is_damaged_is_refused(tmp_path: Path) -> None:
    # LZMA's errors are of a kind of their own.
    content = io.BytesIO()
    np.save(content, np.zeros((2, 8, 8, 3), np.uint8))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", content.getvalue())
    damaged = bytearray((tmp_path / "x.npz").read_bytes())
    damaged[50:70] = b"\xff" * 20
    (tmp_path / "x.npz").write_bytes(damaged)
    assert "images cannot be read" in refusal(lambda: load_images(tmp_path / "x.npz"))


@pytest.mark.parametrize("shape", ["(1" + "0" * 30 + ", 8, 8, 3)", "(4611686018427387904, 8, 8, 3)"])
def test_images_beyond_all_numbers_are_refused(tmp_path: Path, home: Path, shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    arrays = {f"{split}_labels.npy": np.zeros(2, np.uint8) for split in SPLITS}
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name, labels in arrays.items():
            content = io.BytesIO()
            np.save(content, labels)
            archive.writestr(name, content.getvalue())
        for split in SPLITS:
            archive.writestr(f"{split}_images.npy", b"\x93NUMPY\x01\x00\x76\x00" + header)
    assert "GB" in refusal(lambda: load_dataset(str(tmp_path / "x.npz")))
