"""Archives that cannot be used: the message names the file, the array and what is allowed."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_fixtures import error_of, make_arrays, save

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save(tmp_path / "tiny.npz", make_arrays())


def test_load_dataset_refuses_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.npz"
    assert error_of(path) == f"{path} cannot be read: No such file or directory; allowed: a MedMNIST .npz file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes); allowed: a MedMNIST .npz file"),
        (b"hello", "is not an .npz file (no zip directory at its end)"),
        (b"PK\x03\x04 and so on", "is a truncated .npz file (no zip directory at its end)"),
        (
            b"PK\x05\x06" + 18 * b"\0",
            "train_labels, val_images, val_labels, test_images, test_labels; found no",
        ),
    ],
)
def test_load_dataset_refuses_what_is_not_an_archive(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    assert message in error_of(path)


def test_load_dataset_refuses_a_truncated_file(tiny: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:-100])
    assert error_of(tiny).startswith(f"{tiny} is a truncated .npz file")


def test_load_dataset_refuses_a_damaged_array(tmp_path: Path) -> None:
    arrays = make_arrays()
    path = save(tmp_path / "bad.npz", arrays)
    pixels = arrays["val_images"].tobytes()
    path.write_bytes(path.read_bytes().replace(pixels, bytes(len(pixels))))
    assert error_of(path).startswith(f"{path}: val_images cannot be read (Bad CRC-32")


@pytest.mark.parametrize("header", [b"{[1]: 2}", b"{'descr': (((("])
def test_load_dataset_refuses_a_header_that_is_no_header(tiny: Path, tmp_path: Path, header: bytes) -> None:
    header += b" " * (117 - len(header)) + b"\n"
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(tiny) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            damaged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            bad.writestr(name, damaged if name == "val_labels.npy" else good.read(name))
    assert error_of(path).startswith(f"{path}: val_labels cannot be read (")


def test_load_dataset_refuses_a_member_that_is_no_array(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(tiny) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, b"text" if name == "val_labels.npy" else good.read(name))
    assert error_of(path) == f"{path}: val_labels is not in numpy's format; allowed: a numpy array"


def test_load_dataset_names_missing_arrays(tmp_path: Path) -> None:
    arrays = make_arrays()
    del arrays["test_images"], arrays["val_labels"]
    arrays["extra\nline"] = arrays["val_images"]
    message = error_of(save(tmp_path / "set.npz", arrays))
    assert "lacks val_labels, test_images; found train_images, train_labels, val_images, test_labels" in message


OBJECTS = np.array([{"a": 1}] * 12, dtype=object)
NOT_A_NUMBER = np.full((12, 8, 8, 3), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "train_images",
            OBJECTS,
            "train_images cannot be read (Object arrays cannot be loaded when allow_pickle",
        ),
        ("val_images", NOT_A_NUMBER, "val_images is float32 with NaN; allowed: uint8"),
        ("val_images", np.zeros((12, 8, 8, 3)), "val_images is float64; allowed: uint8"),
        (
            "train_images",
            np.zeros((12, 6), np.uint8),
            "train_images has shape (12, 6); allowed: (N, H, W) or",
        ),
        ("train_images", np.zeros((12, 8, 8, 4), np.uint8), "has shape (12, 8, 8, 4); allowed: (N, H, W) or"),
        (
            "train_images",
            np.zeros((12, 8, 8, 6), np.uint8),
            "has shape (12, 8, 8, 6), a 3-D set; allowed: (N, H",
        ),
        (
            "train_images",
            np.zeros((12, 8, 7, 3), np.uint8),
            "has shape (12, 8, 7, 3); allowed: square images",
        ),
        (
            "train_images",
            np.zeros((12, 7, 7, 3), np.uint8),
            "has shape (12, 7, 7, 3); allowed: at least 8 x 8 pixels",
        ),
        (
            "train_images",
            np.zeros((0, 8, 8, 3), np.uint8),
            "has shape (0, 8, 8, 3); allowed: at least one image",
        ),
        (
            "val_images",
            np.zeros((12, 9, 9, 3), np.uint8),
            "val_images has images of (9, 9, 3); allowed: (8, 8, 3)",
        ),
        (
            "test_images",
            np.zeros((12, 8, 8), np.uint8),
            "test_images has images of (8, 8, 1); allowed: (8, 8, 3)",
        ),
        (
            "test_images",
            np.zeros((11, 8, 8, 3), np.uint8),
            "test_images has 11 images and test_labels has 12 label",
        ),
        ("train_labels", np.zeros((12, 1)), "train_labels is float64; allowed: integers"),
        ("train_labels", np.full(12, np.nan), "train_labels is float64 with NaN; allowed: integers"),
        (
            "train_labels",
            np.zeros((12, 14), np.uint8),
            "has shape (12, 14), a multi-label set such as chestmnist",
        ),
        *(
            (
                "train_labels",
                np.eye(3)[np.arange(12) % 3].astype(kind),
                "has shape (12, 3), one-hot labels; allowed: class numbers (N,), as labels.argmax(axis=1) gives",
            )
            for kind in ("uint8", "float32", "bool")
        ),
        (
            "train_images",
            np.zeros((12, 3, 8, 8), np.uint8),
            "has shape (12, 3, 8, 8), channels first; allowed: channels last, as images.transpose(0, 2, 3, 1) gives",
        ),
        ("train_labels", np.zeros((12, 1, 1), np.uint8), "has shape (12, 1, 1); allowed: (N,) or (N, 1)"),
        ("train_labels", np.arange(12) % 3 - 1, "train_labels has label -1; allowed: 0 and above"),
        (
            "train_labels",
            np.arange(12) % 3 + 1,
            "train_labels has no image of class 0; allowed: each of the classes 0 to 3; number the classes from 0",
        ),
        (
            "train_labels",
            np.arange(12) * 10**15,
            "train_labels has no image of class 1 and 10,999,999,999,999,988 more; allowed: each of the clas",
        ),
        ("train_labels", np.zeros(12, np.uint8), "train_labels has one class; allowed: two or more"),
        ("val_labels", np.arange(12) % 4, "val_labels has label 3; allowed: 0 to 2, as in train_labels"),
        (
            "val_labels",
            np.arange(12) % 2,
            "val_labels has no image of class 2; allowed: each of the classes 0 to 2; move images there, or leave the",
        ),
    ],
)
def test_load_dataset_refuses_an_array(tmp_path: Path, name: str, array: np.ndarray[Any, Any], message: str) -> None:
    path = save(tmp_path / "bad.npz", make_arrays() | {name: array})
    found = error_of(path)
    assert found.startswith(f"{path}: {name} ")
    assert message in found


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"class_names": np.array(["a", "b"])}, "class_names is <U1 'a, b'; allowed: 3 distinct names, one per class"),
        ({"class_names": np.array(["a", "b", "b"])}, "allowed: 3 distinct names"),
        ({"class_names": np.arange(3)}, "class_names is int64 '0, 1, 2'; allowed: 3 distinct names"),
        ({"train_groups": np.arange(12)}, "has train_groups and lacks val_groups; allowed: groups of all splits"),
        (
            {f"{split}_groups": np.arange(11) for split in ("train", "val", "test")},
            "train_groups is int64 of shape (11,); allowed: 12 texts or integers, one per image",
        ),
        (
            {f"{split}_groups": np.zeros(12) for split in ("train", "val", "test")},
            "train_groups is float64 of shape (12,); allowed",
        ),
    ],
)
def test_load_dataset_refuses_names_and_groups(
    tmp_path: Path, arrays: dict[str, np.ndarray[Any, Any]], message: str
) -> None:
    assert message in error_of(save(tmp_path / "bad.npz", make_arrays() | arrays))
