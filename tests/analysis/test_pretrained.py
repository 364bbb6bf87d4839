"""The model that comes with Bloodtune: made from networks, chosen on validation, stored in half precision."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import pretrained
from bloodtune.data import medmnist
from bloodtune.data.dataset import load_dataset
from bloodtune.data.medmnist import OFFICIAL, UnavailableError, class_names, medmnist_info
from bloodtune.inference.classifier import WEIGHTS, Classifier
from bloodtune.inference.default_model import CARD
from bloodtune.inference.out_of_distribution import GUARD
from bloodtune.inference.predictor import Predictor
from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration
from pretrained_files import LICENSE, mean_interval, terms
from run_fixtures import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def write_weights(file: Path, data: Path, configuration: Configuration, epochs: int) -> Path:
    """Train for a few epochs, and write the weights as the command takes them."""
    dataset = load_dataset(str(data))
    training = Training(configuration, DeviceSplits.load(dataset.train, dataset.val), max_epochs=4, seed=epochs)
    for _ in range(epochs):
        training.run_epoch()
    torch.save({"config": configuration.to_mapping(), "weights": training.network.state_dict()}, file)
    return file


@pytest.fixture(scope="module")
def weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give files of two networks, of which the second is better."""
    folder, configuration = tmp_path_factory.mktemp("weights"), make_configuration("residual", dihedral=True)
    return [write_weights(folder / f"{epochs}.pt", data, configuration, epochs) for epochs in (0, 4)]


def make(data: Path, out: Path, weights: list[Path]) -> dict[str, object]:
    assert pretrained.main(["--data", str(data), "--out", str(out), "--weights", *map(str, weights)]) == 0
    card: dict[str, object] = json.loads((out / CARD).read_text())
    return card


def test_the_best_network_on_validation_is_stored_with_the_scores_of_all(
    data: Path, tmp_path: Path, weights: list[Path]
) -> None:
    card = make(data, tmp_path / "box", weights)
    networks = card["networks"]
    assert isinstance(networks, list)
    assert [one["chosen"] for one in networks] == [False, True]
    assert networks[1]["val_macro_f1"] > networks[0]["val_macro_f1"]
    assert card["test"]["accuracy"] == networks[1]["accuracy"]  # type: ignore[index]
    assert set(card["ensemble"]) == set(card["mean"]) == {"accuracy", "macro_f1"}  # type: ignore[call-overload]
    mean = card["mean"]["accuracy"][0]  # type: ignore[index]
    assert mean == pytest.approx(np.mean([one["accuracy"][0] for one in networks]))
    page = (tmp_path / "box" / "MODEL_CARD.md").read_text()
    assert "The command that made it opened the test split once, after its choices" in page
    assert "Test images that are also in another split, turned or mirrored ones included: 0 in training, 0 in" in page
    assert "| 2 (this model) |" in page and "| mean of 2 |" in page
    assert "licence" not in card and not (tmp_path / "box" / LICENSE).exists(), "these images are not BloodMNIST's"
    assert str(data) not in (tmp_path / "box" / CARD).read_text(), "no path of this machine"


def test_the_stored_weights_are_half_precision_and_predict_as_they_were_scored(
    data: Path, tmp_path: Path, weights: list[Path]
) -> None:
    box = tmp_path / "box"
    card = make(data, box, weights[1:])
    assert "mean" not in card and "ensemble" not in card
    stored = load_file(box / WEIGHTS)
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    loaded = Classifier.load(box).network.state_dict()
    assert all(loaded[name].dtype == torch.float32 for name, tensor in stored.items() if tensor.is_floating_point())
    assert all(torch.equal(loaded[name], tensor.to(loaded[name].dtype)) for name, tensor in stored.items())
    predictor, dataset = Predictor.load(box), load_dataset(str(data))
    assert predictor.guard is not None and (box / GUARD).exists()
    found = predictor.network.predict(dataset.val.images)
    accuracy = (found.argmax(1) == dataset.val.labels).mean()
    assert accuracy == card["used_val"]["accuracy"] > 0.9  # type: ignore[index]


def test_a_second_model_replaces_all_files_of_the_first(data: Path, tmp_path: Path, weights: list[Path]) -> None:
    box = tmp_path / "box"
    make(data, box, weights[:1])
    (box / "model.onnx").write_text("of another model")
    (tmp_path / "link").symlink_to(box)
    make(data, tmp_path / "link", weights[:1])
    assert not (box / "model.onnx").exists() and (tmp_path / "link").is_symlink()


def test_a_folder_that_is_no_model_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    (tmp_path / "full").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path / "photos")
    monkeypatch.setattr(pretrained, "load_dataset", None)
    for out in (".", ".."):
        assert pretrained.main(["--weights", "a.pt", "--out", out]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and f"{out} contains the current folder, and would be replaced as a whole" in err
    monkeypatch.chdir(tmp_path.parent)
    for folder in (tmp_path / "photos", tmp_path / "full"):
        assert pretrained.main(["--weights", "a.pt", "--out", str(folder)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and f"{folder} has files but no model.json; allowed: a new or empty" in err
    assert (tmp_path / "photos" / "a.jpg").read_text() == "mine"


def test_synthetic_images_become_a_model_only_where_both_are_asked_for(
    standin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable(name: str) -> Path:
        raise UnavailableError("no network")

    monkeypatch.setattr(medmnist, "fetch", unavailable)
    monkeypatch.delenv("BLOODTUNE_DATA", raising=False)
    refused = "the images are synthetic; a model of these needs --data synthetic and --out DIR\n"
    for flags in ([], ["--out", str(tmp_path / "box")], ["--data", "synthetic"]):
        assert pretrained.main(["--weights", "none.pt", *flags]) == 2
        assert capsys.readouterr().err.endswith(refused)
    assert pretrained.main(["--weights", "none.pt", "--data", "synthetic", "--out", str(tmp_path / "box")]) == 2
    assert "none.pt cannot be read" in capsys.readouterr().err


def test_networks_of_two_configurations_or_flags_of_a_training_are_refused_beside_weights(
    data: Path, tmp_path: Path, weights: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_weights(tmp_path / "other.pt", data, make_configuration("residual"), 0)
    command = ["--data", str(data), "--out", str(tmp_path / "box"), "--weights", str(weights[0])]
    for flags, expected in (
        ([str(other)], f"--weights: {other} has another configuration than {weights[0]}"),
        (["--seeds", "5"], "--seeds and --epochs need --recipe"),
        (["--epochs", "9"], "--seeds and --epochs need --recipe"),
    ):
        assert pretrained.main([*command, *flags]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and expected in err


def test_the_test_split_is_opened_after_the_choice(
    data: Path, tmp_path: Path, weights: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def refuse(*_: object) -> None:
        said.append(capsys.readouterr().err)
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained, "load_test_split", refuse)
    out = tmp_path / "box"
    assert pretrained.main(["--data", str(data), "--out", str(out), "--weights", *map(str, weights)]) == 130
    assert "validation macro-F1 of each network" in said[0] and not out.exists()


def test_weights_that_do_not_fit_are_refused_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, other = tmp_path / "broken.pt", tmp_path / "other.pt"
    broken.write_bytes(b"nothing")
    torch.save({"config": make_configuration("cnn").to_mapping(), "weights": {}}, other)
    for file, expected in (
        (broken, "holds no network for this data"),
        (other, "holds no network for this data"),
        (tmp_path / "none.pt", "cannot be read: No such file"),
    ):
        out = tmp_path / "box"
        assert pretrained.main(["--data", str(data), "--out", str(out), "--weights", str(file)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and expected in err and str(file) in err
        assert not out.exists()


def test_a_recipe_without_a_configuration_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare.toml").write_text('extends = "random.toml"\nconfiguration = []\n')
    assert pretrained.main(["--data", str(data), "--recipe", str(tmp_path / "bare.toml")]) == 2
    assert "bare.toml' has no [[configuration]] to train" in capsys.readouterr().err


def test_weights_of_bloodmnist_have_its_licence_and_name_a_split_that_is_not_official(data: Path) -> None:
    official = medmnist_info()[OFFICIAL]
    own = load_dataset(str(data))
    blood = dataclasses.replace(own, class_names=class_names(OFFICIAL), split_sizes=official["n_samples"])
    assert terms(own) == terms(dataclasses.replace(blood, synthetic=True)) == {}
    assert terms(blood).keys() == {"licence", "note"}
    assert terms(dataclasses.replace(blood, md5=official["MD5"])).keys() == {"licence"}
    assert all(word in terms(blood)["licence"] for word in ("CC BY 4.0", "Acevedo", "MedMNIST"))


def test_the_interval_of_a_mean_is_students() -> None:
    # By hand: mean 2, standard error 1 / sqrt(3), and the quantile of two degrees of freedom, 4.3027.
    reach = 4.3027 / 3**0.5
    assert mean_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx([2, 2 - reach, 2 + reach], rel=1e-4)
