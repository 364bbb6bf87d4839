"""The guard: which features are unlike those of the training images, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bloodtune.errors import InputError
from bloodtune.inference.out_of_distribution import GUARD, PASSED, Guard


def draw(images: int, seed: int, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw features of three classes in five dimensions: one varies little, and one never."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    features = generator.normal(size=(images, 5)) * [1, 1, 1, 0.01, 0] * stretch
    features[np.arange(images), labels] += 8
    return features.astype(np.float32), labels


@pytest.fixture(scope="module")
def guard() -> Guard:
    fitted = Guard.fit(*draw(600, 0), draw(300, 1)[0])
    assert fitted is not None
    return fitted


def test_images_like_the_training_images_pass(guard: Guard) -> None:
    assert guard.knows(draw(300, 1)[0]).mean() == pytest.approx(PASSED, abs=0.004), "the limit was fitted to them"
    assert guard.knows(draw(2000, 2)[0]).mean() == pytest.approx(PASSED, abs=0.02)


def test_distances_are_squared_and_in_units_of_the_spread_within_classes(guard: Guard) -> None:
    centre = np.array([[8, 0, 0, 0, 0], [0, 8, 0, 0, 0], [11, 0, 0, 0, 0], [8, 0, 0, 0.03, 0]], np.float32)
    assert guard.distances(centre) == pytest.approx([0, 0, 9, 9], abs=2)


@pytest.mark.parametrize("change", [[0, 0, 9, 0, 0], [0, 0, 0, 0.2, 0], [0, 0, 0, 0, 1], [-4, 4, 0, 0, 0]])
def test_images_far_from_every_class_do_not_pass(guard: Guard, change: list[float]) -> None:
    features = np.array([[8.0, 0, 0, 0, 0]], np.float32)
    assert guard.knows(features).all()
    assert not guard.knows(features + np.array(change, np.float32)).any()


def test_a_saved_guard_judges_alike(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / GUARD).write_bytes(guard.to_bytes())
    loaded = Guard.load(tmp_path)
    assert loaded is not None
    features = draw(100, 3, stretch=2.0)[0]
    assert loaded.knows(features).tolist() == guard.knows(features).tolist()
    assert 0 < loaded.knows(features).sum() < 100


def test_features_that_never_vary_make_no_guard() -> None:
    features = np.ones((30, 5), np.float32)
    assert Guard.fit(features, np.arange(30) % 3, features) is None


def test_a_model_of_an_older_version_has_none(tmp_path: Path) -> None:
    assert Guard.load(tmp_path) is None


def test_a_damaged_guard_is_one_line(guard: Guard, tmp_path: Path) -> None:
    for content in (b"", b"x" * 100, guard.to_bytes()[:-8]):
        (tmp_path / GUARD).write_bytes(content)
        with pytest.raises(InputError, match=r"guard\.safetensors does not describe a guard: "):
            Guard.load(tmp_path)
    save_file({"means": guard.means}, tmp_path / GUARD)
    with pytest.raises(InputError, match="does not describe a guard: 'whitening' is missing"):
        Guard.load(tmp_path)
    whole = {"means": guard.means, "whitening": guard.whitening[:2], "limit": np.ones(1, np.float32)}
    save_file(whole, tmp_path / GUARD)
    with pytest.raises(InputError, match=r"means \(3, 5\) and whitening \(2, 5\) do not fit each other"):
        Guard.load(tmp_path)
