"""A trained model in use: what it computes, and in which order it says it."""

import dataclasses
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from bloodtune.data.photographs import read_tile
from bloodtune.errors import InputError
from bloodtune.inference import predictor as inference
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.confidence import with_temperature
from bloodtune.inference.differential import Prediction, Tally, Unreadable
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.inference.predictor import Image, Predictor, classify
from bloodtune.space.families import FAMILIES
from bloodtune.training.augmentation import dihedral_views
from bloodtune.training.models import Normalization
from error_fixtures import refusal
from model_fixtures import BLOOD, draw_tiles, make_classifier, make_model, photograph


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "best")


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model)


def test_every_model_says_what_it_was_trained_on_and_to_evaluate_it_first(predictor: Predictor, tmp_path: Path) -> None:
    assert predictor.caveat == (
        "Trained on bloodmnist: for another stain, camera or magnification, run evaluate before you trust a count."
    )
    other = Predictor.load(make_model(tmp_path / "other", data=None))
    assert other.caveat.startswith("Trained on images that its card does not name: for another stain")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_deployment_is_the_mean_over_the_dihedral_group_in_float32(family: str) -> None:
    classifier, images = make_classifier(family), draw_tiles(70)
    network = classifier.network.eval()
    with torch.inference_mode():
        views = dihedral_views(torch.from_numpy(images).permute(0, 3, 1, 2))
        expected = torch.stack([network(view).softmax(1) for view in views]).mean(0).numpy()
    found = Deployment(classifier).predict(images)
    assert (found.shape, found.dtype) == ((70, 8), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_what_the_last_linear_layer_gets(family: str) -> None:
    deployment, images = Deployment(make_classifier(family)), draw_tiles(70)
    probabilities, features = deployment.examine(images)
    (body,), (head,) = deployment.bodies, deployment.heads
    assert isinstance(head, torch.nn.Linear)
    assert features.shape == (70, deployment.features) == (70, head.in_features)
    views = dihedral_views(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        expected = torch.stack([body(view) for view in views]).mean(0).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(probabilities, deployment.predict(images))


def test_a_network_without_a_last_linear_layer_has_its_logits_as_features() -> None:
    network = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Conv2d(3, 8, 28), torch.nn.Flatten())
    classifier = dataclasses.replace(make_classifier(), network=network)
    images = draw_tiles(5).astype(np.float32)
    assert Deployment(classifier).examine(images)[1].shape == (5, 8)


class Doubled(nn.Sequential):
    """A sequence that computes something else than its layers one after the other."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(images)


@pytest.mark.parametrize("kind", ["repeated layer", "subclass", "many features"])
def test_a_network_of_ones_own_is_not_taken_apart_wrongly(kind: str) -> None:
    torch.manual_seed(0)
    hidden, relu = 2500 if kind == "many features" else 16, nn.ReLU()
    layers = [nn.Flatten(), nn.Linear(2352, hidden), relu, nn.Linear(hidden, hidden), relu, nn.Linear(hidden, 8)]
    body = Doubled(*layers) if kind == "subclass" else nn.Sequential(*layers)
    network = nn.Sequential(Normalization(torch.full((3,), 127.0), torch.full((3,), 60.0)), body)
    classifier, images = dataclasses.replace(make_classifier(), network=network), draw_tiles(6)
    views = dihedral_views(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        expected = torch.stack([network(view).softmax(1) for view in views]).mean(0).numpy()
    probabilities, features = Deployment(classifier).examine(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert features.shape == (6, 16 if kind == "repeated layer" else 8)


def test_few_unknown_images_raise_no_alarm() -> None:
    def tally(known: int, unknown: int) -> Tally:
        one = Tally(("a", "b"))
        for number in range(known + unknown):
            place = {"source": str(number), "label": "a", "second": "b", "probabilities": np.array([0.9, 0.1])}
            one.add(Prediction(**place, sure=number < known, known=number < known))
        return one

    assert tally(4, 2).alarm == tally(30, 3).alarm == ""
    assert tally(4, 3).alarm == "3 of 7 images are unlike the training images: do not trust this count."
    assert "2 of them unsure (below 0.50 or unlike the training images); 2 unlike" in tally(4, 2).summary(0.5)


def test_a_temperature_changes_the_probabilities_and_not_their_order() -> None:
    classifier, images = make_classifier(), draw_tiles(30)
    raw, sharper = Deployment(classifier).predict(images), Deployment(classifier, 0.5).predict(images)
    np.testing.assert_allclose(sharper, with_temperature(raw, 0.5), atol=1e-6)
    assert (raw.argsort(1) == sharper.argsort(1)).all()
    assert (sharper.max(1) > raw.max(1)).all()


@pytest.mark.parametrize("temperature", [0, -1.0, "warm", None, float("nan")])
def test_a_card_with_an_impossible_temperature_is_one_line(tmp_path: Path, temperature: object) -> None:
    folder = make_model(tmp_path / "best")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"temperature": temperature}))
    with pytest.raises(InputError, match=r"model\.json: temperature .*; allowed: numbers above 0"):
        Predictor.load(folder)


def test_an_image_unlike_the_training_images_is_never_sure(tmp_path: Path) -> None:
    folder, tiles = make_model(tmp_path / "best"), draw_tiles(40)
    deployment = Predictor.load(folder).network
    _, features = deployment.examine(tiles)
    guard = Guard.fit(features, np.arange(40) % 4, features)
    middle = float(np.median(guard.distances(features)))
    (folder / GUARD).write_bytes(dataclasses.replace(guard, limit=middle).to_bytes())
    predictor = Predictor.load(folder, 0.0)
    found = list(predictor.predict(Image(str(row), tile) for row, tile in enumerate(tiles)))
    assert [one.known for one in found] == (guard.distances(features) <= middle).tolist()
    assert [one.sure for one in found] == [one.known for one in found], "all are above the threshold of 0"
    tally = Tally(predictor.class_names)
    for one in found:
        tally.add(one)
    assert (tally.unknown, tally.unsure.total()) == (20, 20)
    assert tally.alarm == "20 of 40 images are unlike the training images: do not trust this count."


def test_a_deployment_leaves_the_classifier_as_it_was() -> None:
    classifier, images = make_classifier(), draw_tiles(3)
    before = classifier.predict(images)
    Deployment(classifier)
    np.testing.assert_array_equal(classifier.predict(images), before)


def test_predictions_come_in_the_order_of_the_images(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_CHUNK", 3)
    tiles = draw_tiles(50)
    median = float(np.median(Predictor.load(model).network.predict(tiles).max(axis=1)))
    predictor = Predictor.load(model, median)
    found = list(predictor.predict([Image(str(row), tile) for row, tile in enumerate(tiles)], workers=4))
    assert [one.source for one in found] == [str(row) for row in range(50)]
    expected = predictor.network.predict(tiles)
    for one, probabilities in zip(found, expected, strict=True):
        assert isinstance(one, Prediction)
        np.testing.assert_allclose(one.probabilities, probabilities, atol=1e-6)
        first, second = np.sort(probabilities)[:-3:-1]
        assert one.label == BLOOD[probabilities.argmax()]
        assert (one.probability, one.second_probability) == pytest.approx((first, second), abs=1e-6)
        assert one.sure == (one.probability >= median)
    assert {one.sure for one in found if isinstance(one, Prediction)} == {True, False}


def test_only_so_many_images_are_held_at_a_time(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_CHUNK", 2)
    taken, tile = [], draw_tiles(1)[0]
    images = (taken.append(row) or Image(str(row), tile) for row in range(1000))
    predictions = predictor.predict(images, workers=1)
    next(predictions)
    predictions.close()  # type: ignore[attr-defined]
    assert len(taken) == 6


def test_photographs_folders_and_arrays_are_found(predictor: Predictor, tmp_path: Path) -> None:
    photograph(tmp_path / "smears" / "a b" / "ü.jpg")
    photograph(tmp_path / "one.png", size=(28, 28))
    np.savez(tmp_path / "cells.npz", test_images=draw_tiles(2), test_labels=np.zeros(2))
    found = predictor.predict(predictor.find([tmp_path / "smears", tmp_path / "one.png", tmp_path / "cells.npz"]))
    names = [Path(one.source).name for one in found]
    assert names == ["ü.jpg", "one.png", "cells.npz:test_images[0]", "cells.npz:test_images[1]"]


def test_a_name_that_is_no_text_is_shown(predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "caf\udce9.jpg"  # as a name in Latin-1 reaches Python
    photograph(file)
    (one,) = predictor.predict(predictor.find([file]))
    assert one.source.endswith(r"caf\xe9.jpg")


def test_arrays_of_another_size_or_kind_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "cells.npz"
    np.savez(file, images=np.zeros((2, 64, 64, 3), np.uint8))
    assert "has images of (64, 64, 3); this model takes (28, 28, 3)" in refusal(lambda: list(predictor.find([file])))
    np.savez(file, images=np.zeros((2, 28, 28, 3)))
    assert "float64" in refusal(lambda: list(predictor.find([file])))
    np.savez(file, pixels=np.zeros((2, 28, 28, 3), np.uint8))
    assert "no array of images; found pixels" in refusal(lambda: list(predictor.find([file])))
    file.write_text("hello")
    assert "not an .npz file" in refusal(lambda: list(predictor.find([file])))
    assert "no such file" in refusal(lambda: list(predictor.find([tmp_path / "none.npz"])))


def test_a_file_that_is_no_photograph_is_one_line_among_the_others(predictor: Predictor, tmp_path: Path) -> None:
    images = [Image("text", io.BytesIO(b"hello")), Image("tile", draw_tiles(1)[0])]
    broken, whole = predictor.predict(images, preview=28)
    assert broken == Unreadable("text", "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture")
    assert isinstance(whole, Prediction) and whole.picture


def test_three_lines_classify_a_folder(model: Path, tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    (one,) = classify(tmp_path, model, threshold=0)
    assert isinstance(one, Prediction) and one.sure
    (one,) = classify([tmp_path / "a.jpg"], model, threshold=1)
    assert isinstance(one, Prediction) and not one.sure


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": float("nan")}, "has no threshold"),
        ({"class_names": ("a", "a")}, "class_names ['a', 'a']; allowed: distinct strings"),
        ({"data": "bloodmnist"}, "data is str; allowed: an object"),
    ],
)
def test_a_model_of_a_stranger_is_refused_where_it_makes_no_sense(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = make_model(tmp_path, **changes)
    assert message in refusal(lambda: Predictor.load(folder))


def test_a_model_without_a_threshold_needs_one(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "old", threshold=None)
    assert "has no threshold" in refusal(lambda: Predictor.load(folder))
    assert Predictor.load(folder, 0.7).threshold == 0.7


def test_photographs_are_cropped_as_the_training_images_were(tmp_path: Path) -> None:
    sizes = {"train": 70, "val": 10, "test": 20}
    data = {"title": "cells", "md5": "", "split_sizes": sizes, "preparation": {"crop": 60}}
    file = photograph(tmp_path / "cell.png", size=(120, 120))

    def predict(model: Path, crop: int | None = None) -> Prediction | Unreadable:
        predictor = Predictor.load(model)
        return next(predictor.predict(predictor.find([file]), crop=crop))

    cropped, plain = make_model(tmp_path / "cropped", data=data), make_model(tmp_path / "plain")
    found, expected = predict(cropped), predict(plain, crop=60)
    assert isinstance(found, Prediction) and isinstance(expected, Prediction)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    other = predict(cropped, crop=100)
    assert isinstance(other, Prediction) and not np.array_equal(other.probabilities, found.probabilities)
    assert isinstance(predict(plain), Unreadable)


def test_blue_green_red_gives_other_classes() -> None:
    classifier, labels = make_classifier("mlnn", ("red", "blue")), np.arange(40) % 2
    tiles = np.where(labels[:, None, None, None] == 0, (200, 30, 40), (40, 30, 200)) + draw_tiles(40) // 8
    tiles = tiles.astype(np.uint8)
    network = classifier.network.train()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(torch.from_numpy(tiles).permute(0, 3, 1, 2)), torch.tensor(labels))
        loss.backward()
        optimizer.step()
    deployment = Deployment(classifier)
    assert (deployment.predict(tiles).argmax(1) == labels).all()
    assert (deployment.predict(tiles[..., ::-1]).argmax(1) != labels).all()


def test_the_recipe_in_the_docs_makes_our_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph(tmp_path / "cell.jpg")
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    (recipe,) = (block for block in page.split("```python\n") if "cv2.imread" in block.partition("```")[0])
    # OpenCV is not installed: its two functions here do what they do there.
    read = lambda name: np.asarray(PIL.Image.open(name))[..., ::-1]  # noqa: E731
    cv2 = SimpleNamespace(imread=read, cvtColor=lambda image, _: image[..., ::-1].copy(), COLOR_BGR2RGB=4)
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(recipe.partition("```")[0], names)
    np.testing.assert_array_equal(names["tiles"][0], read_tile(tmp_path / "cell.jpg", size=28, channels=3)[0])
