"""The recipes that are shipped: which there are, that they are whole, and that they hold what the papers say."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from bloodtune.space import recipe_file
from bloodtune.space.parameter import parameter_values
from bloodtune.space.recipe import Asha
from bloodtune.space.recipe_file import BOOK, load_enqueued, load_recipe, recipe_names
from error_fixtures import refusal

BENCHMARKS = BOOK.parent / "benchmarks"
SHIPPED = sorted(str(file) for file in (*BOOK.glob("*.toml"), *BENCHMARKS.glob("*.toml")) if file.stem != "papers")
SGD = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": False}
ADAM = {"optimizer": "adam", "learning_rate": 0.001}
# What the papers leave open and we assume; no augmentation, decay, schedule or average of weights in either.
PLAIN = {
    "normalization": "minmax",
    "batch_size": 128,
    "weight_decay": 0.0,
    "schedule": "constant",
    "dihedral": False,
    "shift": 0,
    "stain": 0.0,
    "cutout": 0,
    "rotation": 0.0,
    "scale": 0.0,
    "colour": 0.0,
    "blur": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": 0.0,
}
MLNN = {"family": "mlnn", "hidden_layers": 2, "hidden_size": 1180, "dropout": 0.2} | PLAIN
CNN = {"family": "cnn", "width": 32, "dropout": 0.2} | PLAIN
LIGHTWEIGHT = {"family": "lightweight", "width": 16, "dropout": 0.0} | PLAIN
PUBLISHED: dict[str, dict[str, Any]] = {
    "CNN config 1": CNN | {"loss": "cross_entropy"} | SGD,
    "CNN config 2": CNN | {"loss": "cross_entropy"} | ADAM,
    "CNN config 3": CNN | {"loss": "nll"} | SGD,
    "CNN config 4": CNN | {"loss": "nll"} | ADAM,
    "lightweight CNN": LIGHTWEIGHT | {"loss": "cross_entropy"} | SGD,
    "MLNN config 1": MLNN | {"loss": "cross_entropy"} | SGD,
    "MLNN config 2": MLNN | {"loss": "cross_entropy"} | ADAM,
    "MLNN config 3": MLNN | {"loss": "nll"} | SGD,
    "MLNN config 4": MLNN | {"loss": "nll"} | ADAM,
}


def test_the_recipes_of_the_issue_are_all_there() -> None:
    assert recipe_names() == ["cnn", "default", "imagenet", "mlnn", "published", "random", "record", "smoke"]


def test_recipes_are_named_by_the_files_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.toml", "a.toml", "papers.toml", "README.md"):
        (tmp_path / name).touch()
    monkeypatch.setattr(recipe_file, "BOOK", tmp_path)
    assert recipe_names() == ["a", "b"]
    assert refusal(lambda: load_recipe("c")) == "no recipe 'c': give a path, or one of a, b"


def test_the_readme_of_the_recipes_names_each_and_no_other() -> None:
    rows = (BOOK / "README.md").read_text(encoding="utf-8").partition("## Fields")[0]
    cells = [line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted([*recipe_names(), "papers"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: Path(path).stem)
def test_a_shipped_recipe_is_whole(path: str, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.description
    assert all(parameter.source for parameter in recipe.parameters)
    families = recipe.parameters[0].choices or ()
    assert families
    assert {entry.configuration.family for entry in recipe.enqueued} <= set(families)
    for entry in recipe.enqueued:
        assert parameter_values(entry.configuration, recipe.parameters)["family"] == entry.configuration.family
    copied = tmp_path / "recipe.toml"
    copied.write_text(recipe.text, encoding="utf-8")
    assert load_recipe(str(copied)) == recipe


def test_the_nine_published_configurations_are_those_of_the_papers() -> None:
    enqueued = load_recipe("default").enqueued
    assert {entry.label: entry.configuration.to_mapping() for entry in enqueued} == PUBLISHED
    assert len(enqueued) == 9
    assert {entry.label: entry.epochs for entry in enqueued if entry.epochs} == {"lightweight CNN": 10}
    assert all(entry.source.startswith(("Trindade, table", "Kroumov")) for entry in enqueued)
    assert load_enqueued(BOOK / "papers.toml") == enqueued


@pytest.mark.parametrize(("name", "labels"), [("mlnn", "MLNN config"), ("cnn", "CNN config")])
def test_a_recipe_of_one_family_keeps_its_four_configurations_alone(name: str, labels: str) -> None:
    recipe, default = load_recipe(name), load_recipe("default")
    assert recipe.parameters[0].choices == (name,)
    assert sorted(entry.label for entry in recipe.enqueued) == [f"{labels} {number}" for number in (1, 2, 3, 4)]
    assert recipe.parameters[1:] == default.parameters[1:]


def test_default_searches_all_families_under_the_numbers_of_the_issue() -> None:
    recipe = load_recipe("default")
    assert recipe.parameters[0].choices == ("mlnn", "cnn", "lightweight", "residual")
    assert recipe.sampler == "tpe"
    assert recipe.asha == Asha(36, None, (2, 4, 8), rungs=(1, 3, 7))
    assert recipe.asha.expected_epochs(64) == 189, "64 + 32 x 2 + 8 x 4 + 29"


def test_random_differs_from_default_in_its_sampler_alone() -> None:
    control, default = load_recipe("random"), load_recipe("default")
    assert control.sampler == "random"
    same = {"description": "", "sampler": "", "text": ""}
    assert dataclasses.replace(control, **same) == dataclasses.replace(default, **same)


def test_published_stops_no_trial_and_samples_nothing() -> None:
    recipe = load_recipe("published")
    assert recipe.sampler == "enqueued"
    assert recipe.asha.rungs == ()
    assert recipe.asha.expected_epochs(9) == 9 * recipe.asha.max_epochs
    assert len(recipe.enqueued) == 9
