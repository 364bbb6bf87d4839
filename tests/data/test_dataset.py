"""Find, check, audit and load."""

import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.npz import Split
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError
from data_fixtures import BLOOD_CELLS, error_of, make_arrays, md5_of, save

REAL = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save(tmp_path / "tiny.npz", make_arrays())


# What a data set looks like.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [2, 3, 11])
def test_load_dataset_gives_four_dimensions_and_counts(tmp_path: Path, channels: int, classes: int) -> None:
    arrays = make_arrays(channels=channels, classes=classes)
    data = load_dataset(str(save(tmp_path / "set.npz", arrays)))
    assert data.train.images.shape == (4 * classes, 8, 8, channels)
    assert data.train.images.dtype == np.uint8
    assert data.val.labels.dtype == np.int64
    assert np.array_equal(data.val.images.reshape(-1), arrays["val_images"].reshape(-1))
    assert np.array_equal(data.train.labels, arrays["train_labels"][:, 0])
    assert data.class_names == tuple(f"class {index}" for index in range(classes))
    assert data.split_sizes == {"train": 4 * classes, "val": 4 * classes, "test": 4 * classes}
    assert data.class_counts == dict.fromkeys(("train", "val", "test"), (4,) * classes)


def test_load_dataset_says_where_the_data_came_from(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    data = load_dataset("tiny.npz")
    assert (data.title, data.source, data.md5) == ("tiny", str(tiny), md5_of(tiny.read_bytes()))
    assert not data.synthetic
    assert not data.fell_back


def test_load_dataset_takes_flat_labels_and_makes_images_contiguous(tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays["train_labels"] = arrays["train_labels"][:, 0].astype(np.int32)
    arrays["train_images"] = np.asfortranarray(arrays["train_images"])
    data = load_dataset(str(save(tmp_path / "set.npz", arrays)))
    assert data.train.labels.shape == (12,)
    assert data.train.images.flags.c_contiguous


def test_dataset_cannot_give_the_test_split(tmp_path: Path) -> None:
    arrays = make_arrays()
    data = load_dataset(str(save(tmp_path / "set.npz", arrays)))
    splits = [field.name for field in dataclasses.fields(Dataset) if isinstance(getattr(data, field.name), Split)]
    assert splits == ["train", "val"]
    assert not [name for name in dir(data) if name.startswith("test")]
    for split in (data.train, data.val):
        base = split.images.base
        assert base is None or base.size == split.images.size


def test_load_dataset_imports_neither_torch_nor_ray(tiny: Path) -> None:
    code = (
        "import sys; from bloodtune.data.dataset import load_dataset; load_dataset(sys.argv[1]); "
        "print([name for name in ('torch', 'ray', 'medmnist', 'pooch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_archive_may_name_its_classes_and_groups(tmp_path: Path) -> None:
    groups = {"train": np.arange(12) // 4, "val": np.arange(12) // 4 + 2, "test": np.array(["p"] * 11 + [""])}
    arrays = make_arrays() | {f"{split}_groups": values for split, values in groups.items()}
    data = load_dataset(str(save(tmp_path / "set.npz", arrays | {"class_names": np.array(["ig", "blast", "other"])})))
    assert data.class_names == ("ig", "blast", "other")
    assert data.audit.group_count == 6
    assert data.audit.groups == {"train_val": 1, "train_test": 0, "val_test": 0}


# Which data set it is.


def test_load_dataset_reads_the_environment_and_the_argument_wins(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOODTUNE_DATA", str(tiny))
    assert load_dataset().title == "tiny"
    assert load_dataset(str(save(tmp_path / "other.npz", make_arrays()))).title == "other"


def test_load_dataset_names_the_environment_in_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOODTUNE_DATA", "bloodmist")
    assert error_of(None) == (
        "BLOODTUNE_DATA: unknown data set 'bloodmist'; did you mean 'bloodmnist'?; or give the path of an .npz file"
    )


def test_load_dataset_takes_the_standin_by_name(standin: Path) -> None:
    data = load_dataset("synthetic", cluster=True)
    assert data.synthetic
    assert not data.fell_back


# The test split, for the analysis.


def test_load_test_split_gives_the_third_split(tmp_path: Path) -> None:
    arrays = make_arrays(channels=1)
    data = load_dataset(str(save(tmp_path / "set.npz", arrays)))
    split = load_test_split(data.source, data.md5)
    assert np.array_equal(split.images[..., 0], arrays["test_images"])
    assert np.array_equal(split.labels, arrays["test_labels"][:, 0])


def test_load_test_split_finds_the_standin(standin: Path) -> None:
    data = load_dataset("synthetic")
    assert len(load_test_split(data.source, data.md5).labels) == data.split_sizes["test"]


def test_load_test_split_refuses_another_file(tiny: Path) -> None:
    found = md5_of(tiny.read_bytes())
    with pytest.raises(InputError, match=f"tiny.npz has MD5 {found}, but the search ran on data with MD5 0123;"):
        load_test_split(str(tiny), "0123")


# The audit.


def test_copies_are_dropped_from_training_where_asked(tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays["train_images"][5] = arrays["test_images"][0]
    path = str(save(tmp_path / "set.npz", arrays))
    kept = load_dataset(path, Preparation(drop_copies=True))
    assert (kept.split_sizes["train"], kept.class_counts["train"]) == (11, (4, 4, 3))
    assert kept.audit.copies["train_test"] == 0
    assert kept.md5 == load_dataset(path).md5


def test_audit_counts_copies_within_and_across_splits(tmp_path: Path) -> None:
    arrays = make_arrays()
    train, val, test = (arrays[f"{split}_images"] for split in ("train", "val", "test"))
    train[5] = train[7] = train[0]
    val[3] = train[0]
    test[1] = test[2] = val[4]
    test[9] = train[8]
    assert load_dataset(str(save(tmp_path / "set.npz", arrays))).audit.copies == {
        "train": 2,
        "val": 0,
        "test": 1,
        "train_val": 1,
        "train_test": 1,
        "val_test": 2,
    }


# Files that cannot be used.


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


# Real files.


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is absent")
def test_load_dataset_reads_grey_images_of_two_classes() -> None:
    data = load_dataset(str(REAL / "breastmnist.npz"))
    assert data.train.images.shape == (546, 28, 28, 1)
    assert data.class_names == ("malignant", "normal, benign")
    assert data.split_sizes == {"train": 546, "val": 78, "test": 156}
    assert data.audit.copies["train_test"] == 1


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is absent")
def test_load_dataset_reads_the_rebuilt_bloodmnist() -> None:
    data = load_dataset(str(REAL / "bloodmnist_rebuilt.npz"))
    assert data.md5 == "73ef71665a038ead5c1b0df56e694ca8"
    assert data.class_names == BLOOD_CELLS
    assert data.class_counts["test"] == (244, 624, 311, 579, 243, 284, 666, 470)
    assert sum(data.audit.copies.values()) == 17
