"""The table of families, and the names of families of one's own."""

from pathlib import Path

import pytest

from bloodtune.space.configuration import Configuration
from bloodtune.space.families import FAMILIES, builder_of, check_family, epoch_cost, families_with, is_own
from bloodtune.space.recipe_file import load_recipe
from error_fixtures import refusal
from recipe_fixtures import changed, write

OWN = {"family": "my.nets:small", "optimizer": "adam", "learning_rate": 0.001}


def test_the_table_names_a_function_and_a_cost_for_each_family() -> None:
    costs = {"mlnn": 5, "cnn": 7, "lightweight": 15, "residual": 10, "resnet": 25}
    assert {name: epoch_cost(name) for name in FAMILIES} == costs
    assert all(builder_of(name).endswith(f".models.{name}:{name}") for name in FAMILIES)
    assert families_with("hidden_size") == ("mlnn",)
    assert families_with("width") == ("cnn", "lightweight", "residual", "resnet")


def test_a_family_of_ones_own_is_a_module_and_a_function() -> None:
    for name in ("nets:small", "my.nets:small", "_a.b2:C"):
        check_family(name)
        assert is_own(name) and builder_of(name) == name
        assert epoch_cost(name) == 25, "started as early as the slowest known one"


@pytest.mark.parametrize(
    "name", ["my nets:small", "nets:", ":small", "nets:small:er", "nets.py:small()", "a..b:c", "a\n:b"]
)
def test_a_name_that_is_no_module_and_function_is_refused(name: str) -> None:
    expected = f"family = {name!r}: expected package.module:function for a network of your own"
    assert refusal(lambda: check_family(name)) == expected


def test_a_family_of_ones_own_takes_any_shape_and_the_other_rules_hold() -> None:
    plain = Configuration.from_mapping(OWN)
    assert plain.width is plain.hidden_layers is plain.hidden_size is None
    shaped = Configuration.from_mapping(OWN | {"width": 8, "hidden_layers": 2})
    assert Configuration.from_mapping(shaped.to_mapping()) == shaped
    assert refusal(lambda: Configuration.from_mapping(OWN | {"width": 2})) == "width = 2: allowed from 4 to 512"
    assert "only to sgd" in refusal(lambda: Configuration.from_mapping(OWN | {"momentum": 0.9}))


def test_a_recipe_searches_a_family_of_ones_own(tmp_path: Path) -> None:
    content = changed("space.family.choices", ["my.nets:small", "cnn"])
    del content["space"]["hidden_layers"], content["space"]["hidden_size"]
    content["space"]["width"]["when"] = {"family": ["my.nets:small", "cnn"]}
    recipe = load_recipe(str(write(tmp_path / "own.toml", content)))
    assert recipe.parameters[0].choices == ("my.nets:small", "cnn")
    assert [entry.label for entry in recipe.enqueued] == ["one"], "the other one's family is not searched"
    content["space"]["family"]["choices"][0] = "my.nets"
    message = refusal(lambda: load_recipe(str(write(tmp_path / "own.toml", content))))
    assert message.startswith(f"{tmp_path / 'own.toml'}: space.family: unknown family 'my.nets'; allowed: mlnn, ")


def test_a_recipe_far_from_the_book_extends_one_of_the_book(tmp_path: Path) -> None:
    child = {"extends": "smoke.toml", "description": "mine"}
    recipe = load_recipe(str(write(tmp_path / "mine.toml", child)))
    assert recipe.description == "mine"
    assert recipe.asha == load_recipe("smoke").asha
