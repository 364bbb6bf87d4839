"""Find, check, audit and load."""

import dataclasses
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.npz import Split
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError
from data_fixtures import BLOOD_CELLS, error_of, make_arrays, md5_of, save
from error_fixtures import refusal

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
        assert isinstance(base := split.images.base, mmap.mmap)
        assert len(base) - split.images.nbytes <= 128, "no more than a header lies beside them"


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


@pytest.mark.parametrize(
    ("folds", "sizes", "said"),
    [
        (None, (10, 12, 12), "--drop-copies: 2 images of train left out, with a copy in val or test"),
        (
            3,
            (11, 11, 12),
            "--drop-copies: 2 images of train and val left out, with a copy in test; copies within train",
        ),
    ],
)
def test_copies_are_dropped_from_what_is_trained_on(
    tmp_path: Path, folds: int | None, sizes: tuple[int, ...], said: str
) -> None:
    arrays = make_arrays()
    arrays["train_images"][5] = arrays["test_images"][0]
    arrays["val_images"][5] = arrays["test_images"][1]
    arrays["train_images"][7] = np.rot90(arrays["val_images"][4])
    path = str(save(tmp_path / "set.npz", arrays))
    kept = load_dataset(path, Preparation(drop_copies=True, folds=folds))
    assert tuple(kept.split_sizes.values()) == sizes and kept.audit.copies["train_test"] == 0
    assert kept.audit.turned == dict.fromkeys(kept.audit.copies, 0) | {"train_val": int(bool(folds))}
    assert any(note.startswith(said) for note in kept.notes)
    assert kept.md5 == load_dataset(path).md5


def test_copies_that_are_a_whole_class_are_not_dropped(tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays["train_images"][1::3] = arrays["test_images"][0]
    save(tmp_path / "set.npz", arrays)
    said = refusal(lambda: load_dataset(str(tmp_path / "set.npz"), Preparation(drop_copies=True)))
    assert "--drop-copies would leave train without an image of class 1: each has a copy in another split" in said


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
