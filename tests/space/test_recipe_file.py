"""Recipe files: defaults, files in other folders, and configurations read alone."""

from pathlib import Path

import pytest

from bloodtune.space.recipe_file import BOOK, load_enqueued, load_recipe
from error_fixtures import refusal
from recipe_fixtures import CONTENT, GONE, changed, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "recipe.toml", CONTENT)


@pytest.mark.parametrize(
    ("where", "field", "value"),
    [
        ("description", "description", ""),
        ("sampler.startup_trials", "startup_trials", 0),
        ("configuration", "enqueued", ()),
    ],
)
def test_what_a_recipe_leaves_out_has_a_default(file: Path, where: str, field: str, value: object) -> None:
    assert getattr(load_recipe(str(file)), field) != value
    assert getattr(load_recipe(str(write(file, changed(where, GONE)))), field) == value


def test_a_users_recipe_extends_a_shipped_one(tmp_path: Path) -> None:
    child = write(tmp_path / "mine.toml", {"extends": "default.toml", "asha": {"max_epochs": 54}})
    recipe, shipped = load_recipe(str(child)), load_recipe("default")
    assert recipe.asha == shipped.asha.with_max_epochs(54)
    assert (recipe.parameters, recipe.enqueued) == (shipped.parameters, shipped.enqueued)


def test_a_file_beside_a_recipe_hides_the_shipped_one(file: Path) -> None:
    write(file.with_name("default.toml"), CONTENT | {"description": "beside"})
    child = write(file.with_name("child.toml"), {"extends": "default.toml"})
    assert load_recipe(str(child)).description == "beside"


def test_a_users_recipe_enqueues_the_shipped_papers(file: Path) -> None:
    space = load_recipe("default")
    child = write(
        file, {"extends": "default.toml", "configuration": [], "enqueue": "papers.toml", "description": "mine"}
    )
    assert load_recipe(str(child)).enqueued == load_enqueued(BOOK / "papers.toml") == space.enqueued


def test_a_child_keeps_what_the_file_that_it_extends_enqueues(file: Path) -> None:
    more = dict(CONTENT["configuration"][0], label="three")
    write(file.with_name("more.toml"), {"configuration": [more]})
    write(file, {"enqueue": "more.toml"} | CONTENT)
    child = write(file.with_name("child.toml"), {"extends": file.name, "description": "child"})
    assert [entry.label for entry in load_recipe(str(child)).enqueued] == ["one", "two", "three"]
    child = write(child, {"extends": file.name, "configuration": [dict(more, label="four")]})
    assert [entry.label for entry in load_recipe(str(child)).enqueued] == ["four"]


def test_a_parameter_that_a_child_adds_comes_last(file: Path) -> None:
    shift = {"choices": [0, 2], "source": "child"}
    child = write(file.with_name("child.toml"), {"extends": file.name, "space": {"shift": shift}})
    names = [parameter.name for parameter in load_recipe(str(child)).parameters]
    assert names == [*CONTENT["space"], "shift"]


def test_a_label_of_several_lines_becomes_one(file: Path) -> None:
    write(file, changed("configuration.0.label", "one\n  and\tmore "))
    assert load_recipe(str(file)).enqueued[0].label == "one and more"


def test_load_enqueued_reads_configurations_of_any_family_and_no_other_table(file: Path) -> None:
    write(file, changed("space.family.choices", ["mlnn"]))
    entries = load_enqueued(file)
    assert [(entry.label, entry.source, entry.epochs) for entry in entries] == [
        ("one", "test", None),
        ("two", "test", 10),
    ]
    assert [entry.configuration.family for entry in entries] == ["cnn", "mlnn"]
    assert load_enqueued(write(file, {"description": "nothing"})) == ()


def test_load_enqueued_names_the_configuration_that_is_wrong(file: Path) -> None:
    write(file, changed("configuration.1.optimizer", "sgd"))
    assert refusal(lambda: load_enqueued(file)) == (
        f"{file}: configuration 2 (two): momentum is missing: optimizer = 'sgd' needs it"
    )


def test_a_number_of_epochs_that_is_not_allowed_is_told_with_the_file(file: Path) -> None:
    assert refusal(lambda: load_recipe(str(file), max_epochs=0)) == (
        f"{file}: asha.max_epochs = 0: allowed are whole numbers from 1"
    )


def test_an_empty_space_lacks_the_fields_that_every_configuration_needs(file: Path) -> None:
    write(file, changed("space", {}) | {"configuration": []})
    assert refusal(lambda: load_recipe(str(file))) == (
        f"{file}: space: family, optimizer, learning_rate missing from the configuration"
    )


def test_a_mistake_in_the_file_that_is_extended_is_told_under_its_own_name(file: Path) -> None:
    file.write_text("[asha\n")
    child = write(file.with_name("child.toml"), {"extends": file.name})
    assert refusal(lambda: load_recipe(str(child))).startswith(f"{file}: not a valid TOML file: ")


def test_an_enqueued_file_may_not_extend_another(file: Path) -> None:
    more = write(file.with_name("more.toml"), {"extends": "recipe.toml"})
    write(file, {"enqueue": "more.toml"} | CONTENT)
    assert refusal(lambda: load_recipe(str(file))) == f"{more}: unknown key 'extends'; allowed: configuration"
