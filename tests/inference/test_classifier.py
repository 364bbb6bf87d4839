"""A trained network on disk and back, and how what is not one is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bloodtune.errors import InputError
from bloodtune.inference.classifier import WEIGHTS, Classifier
from bloodtune.inference.default_model import CARD
from bloodtune.space.families import FAMILIES
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration, make_split, make_splits
from error_fixtures import refusal

CLASS_NAMES = ("basophil", "eosinophil", "érythroblaste")


def make_classifier(family: str = "lightweight", *, channels: int = 3, **changes: Any) -> Classifier:
    configuration = make_configuration(family, **changes)
    training = Training(configuration, make_splits(channels=channels), max_epochs=1, seed=0)
    training.run_epoch()
    return Classifier(training.network, configuration, CLASS_NAMES, 12, channels)


def draw_images(count: int = 20, channels: int = 3) -> np.ndarray[Any, Any]:
    return make_split(count, channels=channels, seed=9).images


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return make_classifier()


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    classifier.save(tmp_path / "models" / "best")
    return tmp_path / "models" / "best"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("changes", [{}, {"dihedral": True, "ema": 0.2, "dropout": 0.5}])
def test_a_saved_classifier_gives_the_same_probabilities(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    classifier, images = make_classifier(family, **changes), draw_images()
    classifier.save(tmp_path)
    loaded = Classifier.load(tmp_path)
    probabilities = loaded.predict(images)
    np.testing.assert_array_equal(probabilities, classifier.predict(images))
    assert (probabilities.shape, probabilities.dtype) == ((20, 3), np.float32)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert loaded.configuration == classifier.configuration
    assert (loaded.class_names, loaded.size, loaded.channels) == (CLASS_NAMES, 12, 3)


def test_a_classifier_of_grey_images_is_saved_too(tmp_path: Path) -> None:
    classifier, images = make_classifier("cnn", channels=1), draw_images(channels=1)
    classifier.save(tmp_path)
    np.testing.assert_array_equal(Classifier.load(tmp_path).predict(images), classifier.predict(images))


@pytest.mark.parametrize("dihedral", [False, True])
def test_views_are_averaged_where_training_drew_them(dihedral: bool) -> None:
    classifier, images = make_classifier("mlnn", dihedral=dihedral), draw_images()
    turned = np.rot90(images, axes=(1, 2))
    same = np.allclose(classifier.predict(images), classifier.predict(turned), rtol=1e-2, atol=1e-3)
    assert same is dihedral


def test_predict_takes_read_only_and_strided_images(classifier: Classifier) -> None:
    images = draw_images()
    expected = classifier.predict(images)
    images.flags.writeable = False
    np.testing.assert_array_equal(classifier.predict(images), expected)
    np.testing.assert_array_equal(classifier.predict(images[::2]), classifier.predict(images[::2].copy()))


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (np.zeros((2, 28, 28, 3), np.uint8), r"uint8 \(2, 28, 28, 3\)"),
        (np.zeros((2, 12, 12, 1), np.uint8), r"uint8 \(2, 12, 12, 1\)"),
        (np.zeros((2, 12, 12), np.uint8), r"uint8 \(2, 12, 12\)"),
        (np.zeros((12, 12, 3), np.uint8), r"uint8 \(12, 12, 3\)"),
        (np.zeros((2, 12, 12, 3), np.float32), r"float32 \(2, 12, 12, 3\)"),
    ],
)
def test_predict_refuses_other_images_than_those_trained_on(
    classifier: Classifier, images: np.ndarray[Any, Any], given: str
) -> None:
    with pytest.raises(InputError, match=rf"^images {given}: this model takes uint8 \(N, 12, 12, 3\)$"):
        classifier.predict(images)


def test_the_card_tells_how_to_use_the_model(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path, label="search #12", test_accuracy=0.97)
    card = json.loads((tmp_path / CARD).read_text())
    assert card["configuration"] == classifier.configuration.to_mapping()
    assert card["class_names"] == list(CLASS_NAMES)
    assert (card["size"], card["channels"]) == (12, 3)
    assert "normalization is part of the network" in card["preprocessing"]
    assert card["views"] == 1
    assert (card["label"], card["test_accuracy"]) == ("search #12", 0.97)


def test_weights_are_safetensors_and_all_there(classifier: Classifier, folder: Path) -> None:
    state = classifier.network.state_dict()
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), state[name]) for name in state)
    header = (folder / WEIGHTS).read_bytes()[8:9]
    assert header == b"{"  # a JSON header behind its length; a pickle or zip of torch.save begins otherwise


def test_saving_again_replaces_the_model(folder: Path) -> None:
    other = make_classifier("mlnn")
    other.save(folder)
    np.testing.assert_array_equal(Classifier.load(folder).predict(draw_images()), other.predict(draw_images()))


def test_loading_executes_nothing(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"weights": Trap()}, folder / WEIGHTS)
    refusal(lambda: Classifier.load(folder))
    assert not (tmp_path / "sprung").exists()


# What is refused


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refusal(lambda: Classifier.load(folder))
    assert message.startswith(f"no model in {folder}: ")
    assert name in message


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(lambda: Classifier.load(tmp_path / "best")).startswith(f"no model in {tmp_path / 'best'}: ")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:keep])
    assert refusal(lambda: Classifier.load(folder)).startswith(f"{folder / WEIGHTS} is damaged: ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"configuration": '])
def test_a_truncated_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    assert refusal(lambda: Classifier.load(folder)).startswith(f"{folder / CARD} is damaged: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configuration": None}, "does not describe a model: "),
        ({"configuration": {"family": "transformer"}}, "does not describe a model: optimizer, learning_rate missing"),
        ({"configuration": {"depths": 3}}, "does not describe a model: unknown hyperparameter 'depths'"),
        ({"size": None}, "does not describe a model: int() argument must be"),
        ({"channels": "three"}, "does not describe a model: invalid literal"),
        ({"class_names": 3}, "does not describe a model: 'int' object is not iterable"),
    ],
)
def test_a_card_that_says_something_else_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))
    assert refusal(lambda: Classifier.load(folder)).startswith(f"{folder / CARD} {message}")


@pytest.mark.parametrize("name", ["configuration", "class_names", "size", "channels"])
def test_a_card_without_a_field_is_refused(folder: Path, name: str) -> None:
    card = json.loads((folder / CARD).read_text())
    del card[name]
    (folder / CARD).write_text(json.dumps(card))
    assert refusal(lambda: Classifier.load(folder)) == (
        f"{folder / CARD} does not describe a model: '{name}' is missing"
    )


def test_a_card_that_is_no_table_is_refused(folder: Path) -> None:
    (folder / CARD).write_text("[]")
    assert refusal(lambda: Classifier.load(folder)).startswith(f"{folder / CARD} does not describe a model: ")


def test_weights_of_another_configuration_are_refused(folder: Path, tmp_path: Path) -> None:
    expected = f"{folder / WEIGHTS} does not fit the configuration in {CARD}"
    make_classifier("lightweight", width=12).save(tmp_path / "other")
    weights = load_file(folder / WEIGHTS)
    for others in (
        load_file(tmp_path / "other" / WEIGHTS),
        dict(list(weights.items())[:-1]),
        weights | {"more": torch.zeros(1)},
        {},
    ):
        save_file(others, folder / WEIGHTS)
        assert refusal(lambda: Classifier.load(folder)) == expected
