"""Recipe files: what they say, how they extend each other, and how a bad one is refused."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from bloodtune.errors import InputError
from bloodtune.recipe import BOOK, Asha, Enqueued, load_enqueued, load_recipe

GONE = object()

# A small recipe with one of everything that a recipe may hold.
CONTENT: dict[str, Any] = {
    "description": "for tests",
    "sampler": {"name": "tpe", "startup_trials": 2},
    "asha": {"max_epochs": 9, "first_rung": 1, "reduction_factor": 3},
    "space": {
        "family": {"choices": ["mlnn", "cnn"], "source": "test"},
        "hidden_layers": {"when": {"family": "mlnn"}, "low": 1, "high": 3, "source": "test"},
        "hidden_size": {"when": {"family": "mlnn"}, "low": 16, "high": 64, "step": 16, "source": "test"},
        "width": {"when": {"family": ["cnn", "lightweight"]}, "choices": [8, 16], "source": "test"},
        "optimizer": {"choices": ["adam", "adamw"], "source": "test"},
        "learning_rate": {"low": 0.0001, "high": 0.1, "log": True, "source": "test"},
        "adamw_decay": {
            "field": "weight_decay",
            "when": {"optimizer": "adamw"},
            "low": 0.0,
            "high": 0.5,
            "source": "test",
        },
    },
    "configuration": [
        {"label": "one", "source": "test", "family": "cnn", "width": 8, "optimizer": "adam", "learning_rate": 0.01},
        {
            "label": "two",
            "source": "test",
            "epochs": 10,
            "family": "mlnn",
            "hidden_layers": 2,
            "hidden_size": 32,
            "optimizer": "adamw",
            "weight_decay": 0.1,
            "learning_rate": 0.001,
        },
    ],
}


def changed(where: str, value: Any) -> dict[str, Any]:
    """Return CONTENT with one place of it, such as ``space.width.low``, replaced, added or taken out."""
    content = copy.deepcopy(CONTENT)
    *path, last = where.split(".")
    table: Any = content
    for key in path:
        table = table[int(key) if isinstance(table, list) else key]
    if value is GONE:
        del table[last]
    else:
        table[last] = value
    return content


def write(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(tomli_w.dumps(content), encoding="utf-8")
    return file


def refusal(load: Callable[[], object]) -> str:
    """Return the message with which a recipe is refused; it is always one line."""
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "recipe.toml", CONTENT)


# What a recipe file says


def test_every_field_arrives(file: Path) -> None:
    recipe = load_recipe(str(file))
    assert (recipe.description, recipe.sampler, recipe.startup_trials) == ("for tests", "tpe", 2)
    assert recipe.asha == Asha(max_epochs=9, first_rung=1, reduction_factor=3)
    assert [parameter.name for parameter in recipe.parameters] == list(CONTENT["space"])
    size = recipe.parameters[2]
    assert (size.field, size.low, size.high, size.step, size.log) == ("hidden_size", 16, 64, 16, False)
    assert size.when == {"family": ("mlnn",)}
    assert recipe.parameters[3].choices == (8, 16)
    assert recipe.parameters[3].when == {"family": ("cnn", "lightweight")}
    assert recipe.parameters[5].log
    assert (recipe.parameters[6].name, recipe.parameters[6].field) == ("adamw_decay", "weight_decay")
    one, two = recipe.enqueued
    assert (one.label, one.epochs, one.configuration.width) == ("one", None, 8)
    assert isinstance(two, Enqueued) and (two.label, two.epochs, two.configuration.hidden_size) == ("two", 10, 32)


def test_a_recipe_is_found_by_path_by_path_in_the_checkout_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = load_recipe(str(BOOK / "smoke.toml"))
    monkeypatch.chdir(tmp_path)
    assert load_recipe("search/smoke.toml") == by_path
    assert load_recipe("smoke") == by_path
    write(tmp_path / "mine.toml", CONTENT)
    assert load_recipe("mine.toml").description == "for tests"


def test_extends_merges_tables_and_replaces_a_parameter_as_a_whole(file: Path) -> None:
    child = {
        "extends": file.name,
        "description": "child",
        "sampler": {"name": "random"},
        "asha": {"max_epochs": 27},
        "space": {"hidden_size": {"when": {"family": "mlnn"}, "choices": [32], "source": "child"}},
    }
    base, recipe = load_recipe(str(file)), load_recipe(str(write(file.with_name("child.toml"), child)))
    assert (recipe.description, recipe.sampler, recipe.startup_trials) == ("child", "random", 2)
    assert recipe.asha == Asha(max_epochs=27, first_rung=1, reduction_factor=3)
    assert [parameter.name for parameter in recipe.parameters] == [parameter.name for parameter in base.parameters]
    assert (recipe.parameters[2].choices, recipe.parameters[2].low) == ((32,), None)
    assert recipe.parameters[3:] == base.parameters[3:]
    assert recipe.enqueued == base.enqueued


def test_extends_goes_through_several_files(file: Path) -> None:
    write(file.with_name("child.toml"), {"extends": file.name, "asha": {"max_epochs": 27}})
    grandchild = write(file.with_name("grandchild.toml"), {"extends": "child.toml", "asha": {"first_rung": 3}})
    assert load_recipe(str(grandchild)).asha == Asha(max_epochs=27, first_rung=3, reduction_factor=3)


def test_configurations_of_a_child_take_the_place_of_those_it_extends(file: Path) -> None:
    none = write(file.with_name("none.toml"), {"extends": file.name, "configuration": []})
    assert load_recipe(str(none)).enqueued == ()
    one = write(file.with_name("one.toml"), {"extends": file.name, "configuration": [CONTENT["configuration"][1]]})
    assert [entry.label for entry in load_recipe(str(one)).enqueued] == ["two"]


def test_enqueue_adds_the_configurations_of_a_file(file: Path) -> None:
    more = dict(CONTENT["configuration"][0], label="three")
    write(file.with_name("more.toml"), {"configuration": [more]})
    recipe = load_recipe(str(write(file, {"enqueue": "more.toml"} | CONTENT)))
    assert [entry.label for entry in recipe.enqueued] == ["one", "two", "three"]


def test_configurations_of_families_out_of_reach_are_left_out(file: Path) -> None:
    recipe = load_recipe(str(write(file, changed("space.family.choices", ["mlnn"]))))
    assert [entry.label for entry in recipe.enqueued] == ["two"]
    assert "one" not in recipe.text


def test_text_holds_all_that_was_extended_and_enqueued(file: Path, tmp_path: Path) -> None:
    write(file.with_name("more.toml"), {"configuration": [dict(CONTENT["configuration"][0], label="three")]})
    child = {"extends": file.name, "enqueue": "more.toml", "description": "Größe × 2"}
    recipe = load_recipe(str(write(file.with_name("child.toml"), child)), max_epochs=27)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "recipe.toml").write_text(recipe.text, encoding="utf-8")
    again = load_recipe(str(elsewhere / "recipe.toml"))
    assert again == recipe
    assert again.asha.max_epochs == 27
    assert [entry.label for entry in again.enqueued] == ["one", "two", "three"]


# ASHA's numbers


@pytest.mark.parametrize(
    ("asha", "rungs"),
    [
        ((27, 3, 3), (3, 9)),
        ((27, 1, 3), (1, 3, 9)),
        ((28, 1, 3), (1, 3, 9, 27)),
        ((40, 40, 3), ()),
        ((3, 1, 3), (1,)),
        ((1, 1, 3), ()),
        ((100, 5, 4), (5, 20, 80)),
    ],
)
def test_rungs_lie_below_the_last_epoch(asha: tuple[int, int, int], rungs: tuple[int, ...]) -> None:
    assert Asha(*asha).rungs == rungs


@pytest.mark.parametrize(
    ("asha", "budget", "epochs"),
    [
        # 64 trials to epoch 3, a third of them 6 further, a ninth 18 further: 192 + 128 + 128.
        ((27, 3, 3), 64, 448),
        # 27 to epoch 1, 9 two further, 3 six further, 1 eighteen further: 27 + 18 + 18 + 18.
        ((27, 1, 3), 27, 81),
        # Never less than one trial goes on.
        ((27, 3, 3), 1, 27),
        ((27, 3, 3), 2, 2 * 3 + 6 + 18),
        ((40, 40, 3), 9, 360),
    ],
)
def test_expected_epochs_by_hand(file: Path, asha: tuple[int, int, int], budget: int, epochs: int) -> None:
    recipe = dataclasses.replace(load_recipe(str(file)), asha=Asha(*asha))
    assert recipe.expected_epochs(budget) == epochs


@pytest.mark.parametrize(
    ("asha", "max_epochs", "expected"),
    [
        ((27, 3, 3), 9, (9, 3, 3)),
        ((27, 3, 3), 81, (81, 3, 3)),
        ((27, 3, 3), 2, (2, 2, 3)),
        ((27, 3, 3), 1, (1, 1, 3)),
        # Where no trial was stopped, none will be: a rung at epoch 40 of 60 would be ASHA by the back door.
        ((40, 40, 3), 60, (60, 60, 3)),
        ((40, 40, 3), 10, (10, 10, 3)),
    ],
)
def test_max_epochs_takes_the_place_of_the_recipes_own(
    file: Path, asha: tuple[int, int, int], max_epochs: int, expected: tuple[int, int, int]
) -> None:
    write(file, CONTENT | {"asha": dataclasses.asdict(Asha(*asha))})
    recipe = load_recipe(str(file), max_epochs=max_epochs)
    assert recipe.asha == Asha(*expected)
    file.write_text(recipe.text, encoding="utf-8")
    assert load_recipe(str(file)).asha == Asha(*expected)


# What is refused


def test_a_recipe_that_is_not_there_is_answered_with_those_that_are() -> None:
    names = "cnn, default, mlnn, published, random, smoke"
    for asked in ("defualt", "search/defualt.toml", "", "a" * 300, str(BOOK)):
        assert refusal(lambda asked=asked: load_recipe(asked)) == (
            f"no recipe {asked!r}: give a path, or one of {names}"
        )


@pytest.mark.parametrize(
    "content", [b"[sampler\n", b"[asha]\nmax_epochs =\n", b"a = 1\na = 2\n", b'a = "\xff"\n', b"\0"]
)
def test_what_is_not_toml_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert refusal(lambda: load_recipe(str(file))).startswith(f"{file}: not a valid TOML file: ")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        # the top level
        ("spaces", {}, "unknown key 'spaces'; did you mean 'space'?"),
        ("sampler", GONE, "table [sampler] is missing"),
        ("asha", GONE, "table [asha] is missing"),
        ("space", GONE, "table [space] is missing"),
        ("sampler", "tpe", "table [sampler] is missing"),
        ("asha", 27, "table [asha] is missing"),
        ("space", ["family"], "table [space] is missing"),
        ("configuration", 5, "configuration = 5: expected [[configuration]] tables"),
        ("configuration", {"label": "one"}, "configuration = {'label': 'one'}: expected [[configuration]] tables"),
        ("extends", "nowhere.toml", "no file 'nowhere.toml' beside it"),
        ("extends", "", "no file '' beside it"),
        ("extends", 5, "no file '5' beside it"),
        ("extends", "recipe.toml", "extends 'recipe.toml', which extends it"),
        ("enqueue", "nowhere.toml", "no file 'nowhere.toml' beside it"),
        # the sampler
        ("sampler.name", "tpee", "sampler.name = 'tpee': allowed are tpe, random, enqueued"),
        ("sampler.name", GONE, "sampler.name = None: allowed are tpe, random, enqueued"),
        ("sampler.name", ["tpe"], "sampler.name = ['tpe']: allowed are tpe, random, enqueued"),
        ("sampler.seed", 1, "sampler: unknown key 'seed'; allowed: name, startup_trials"),
        ("sampler.startup_trials", -1, "sampler.startup_trials = -1: allowed are whole numbers from 0"),
        ("sampler.startup_trials", 2.5, "sampler.startup_trials = 2.5: allowed are whole numbers from 0"),
        ("sampler.startup_trials", True, "sampler.startup_trials = True: allowed are whole numbers from 0"),
        # ASHA
        ("asha.max_epochs", 0, "asha.max_epochs = 0: allowed are whole numbers from 1"),
        ("asha.max_epochs", "27", "asha.max_epochs = '27': allowed are whole numbers from 1"),
        ("asha.first_rung", 10, "asha.first_rung = 10 is above max_epochs = 9"),
        ("asha.first_rung", 1.0, "asha.first_rung = 1.0: allowed are whole numbers from 1"),
        ("asha.reduction_factor", 1, "asha.reduction_factor = 1: allowed are whole numbers from 2"),
        ("asha.reduction_factor", True, "asha.reduction_factor = True: allowed are whole numbers from 2"),
        ("asha.reduction_factor", GONE, "asha: reduction_factor missing"),
        ("asha.max_epoch", 9, "asha: unknown key 'max_epoch'; did you mean 'max_epochs'?"),
        # a parameter
        ("space.widht", {"choices": [1], "source": "x"}, "space.widht: unknown hyperparameter 'widht'; did you mean"),
        ("space.width.field", "widht", "space.width: unknown hyperparameter 'widht'; did you mean 'width'?"),
        ("space.width.field", 5, "space.width: unknown hyperparameter '5'; allowed: family,"),
        ("space.width", 32, "space.width: expected a table, got 32"),
        ("space.width.choice", [1], "space.width: unknown key 'choice'; did you mean 'choices'?"),
        ("space.width.name", "width", "space.width: unknown key 'name'; allowed: field, source,"),
        ("space.width.source", GONE, "space.width: source is empty: say where the range comes from"),
        ("space.width.source", "", "space.width: source is empty: say where the range comes from"),
        ("space.width.choices", GONE, "space.width: give either choices, or low and high"),
        ("space.width.choices", [], "space.width: choices is empty"),
        ("space.width.choices", "8, 16", "space.width: choices = '8, 16': expected a list"),
        ("space.width.choices", 8, "space.width: choices = 8: expected a list"),
        ("space.width.choices", [8, 16.0], "space.width: width = 16.0: expected int, got float"),
        ("space.width.choices", [8, 1024], "space.width: width = 1024: allowed from 4 to 512"),
        ("space.width.low", 8, "space.width: give either choices, or low and high"),
        ("space.width.log", True, "space.width: give either choices, or low and high"),
        ("space.family.choices", ["mlnn", "cmn"], "space.family: unknown family 'cmn'; did you mean 'cnn'?"),
        ("space.family.choices", ["mlnn", 1], "space.family: family = 1: expected str, got int"),
        ("space.hidden_layers.low", 3, "space.hidden_layers: low = 3 must be below high = 3"),
        ("space.hidden_layers.low", "1", "space.hidden_layers: low = '1': expected a whole number"),
        ("space.hidden_layers.high", 3.0, "space.hidden_layers: high = 3.0: expected a whole number"),
        ("space.hidden_layers.high", 30, "space.hidden_layers: hidden_layers = 30: allowed from 1 to 8"),
        ("space.hidden_layers.high", GONE, "space.hidden_layers: give either choices, or low and high"),
        ("space.learning_rate.low", GONE, "space.learning_rate: give either choices, or low and high"),
        ("space.learning_rate.low", "0.1", "space.learning_rate: low = '0.1': expected a number"),
        ("space.learning_rate.high", True, "space.learning_rate: high = True: expected a number"),
        ("space.learning_rate.high", float("inf"), "space.learning_rate: learning_rate = inf: allowed from 1e-07 to"),
        ("space.learning_rate.low", float("nan"), "space.learning_rate: learning_rate = nan: allowed from 1e-07 to"),
        ("space.learning_rate.step", 0.1, "space.learning_rate: log = true needs low above 0 and no step"),
        ("space.learning_rate.log", "yes", "space.learning_rate: log = 'yes': expected true or false"),
        ("space.adamw_decay.log", True, "space.adamw_decay: log = true needs low above 0 and no step"),
        ("space.hidden_size.step", 0, "space.hidden_size: step = 0: whole steps must lead from low = 16 to high = 64"),
        ("space.hidden_size.step", -16, "space.hidden_size: step = -16: whole steps must lead from low = 16"),
        ("space.hidden_size.step", 20, "space.hidden_size: step = 20: whole steps must lead from low = 16"),
        ("space.hidden_size.step", 96, "space.hidden_size: step = 96: whole steps must lead from low = 16"),
        ("space.hidden_size.step", 0.5, "space.hidden_size: step = 0.5: expected a whole number"),
        ("space.adamw_decay.step", float("inf"), "space.adamw_decay: step = inf: whole steps must lead"),
        # conditions
        ("space.width.when", "family", "space.width: when = 'family': expected a table such as { optimizer = 'sgd' }"),
        ("space.width.when", {"optimizer": "adam"}, "space.width: when.optimizer must be set by a parameter above it"),
        ("space.width.when", {"famly": "cnn"}, "space.width: when.famly must be set by a parameter above it"),
        ("space.width.when", {"family": "cmn"}, "space.width: unknown family 'cmn'; did you mean 'cnn'?"),
        # the space as a whole
        ("space.family", GONE, "space.hidden_layers: when.family must be set by a parameter above it"),
        ("space.width", GONE, "space: width is missing: family = 'cnn' needs it"),
        ("space.width.when", GONE, "space: width = 16 does not apply to family = 'mlnn', only to cnn,"),
        ("space.learning_rate.when", {"optimizer": "adam"}, "space: learning_rate missing from the configuration"),
        ("space.optimizer.choices", ["adam", "sgd"], "space: momentum is missing: optimizer = 'sgd' needs it"),
        (
            "space.decay",
            {"field": "weight_decay", "choices": [0.1], "source": "test"},
            "space: decay: another parameter sets weight_decay already",
        ),
        # configurations
        ("configuration.0.label", GONE, "configuration 1: label and source are needed"),
        ("configuration.1.source", "", "configuration 2: label and source are needed"),
        ("configuration.1.epochs", 0, "configuration 2: epochs = 0: allowed are whole numbers from 1"),
        ("configuration.1.epochs", True, "configuration 2: epochs = True: allowed are whole numbers from 1"),
        ("configuration.1.widht", 8, "configuration 2: unknown key 'widht'; did you mean 'width'?"),
        ("configuration.0.family", "cmn", "configuration 1 (one): unknown family 'cmn'; did you mean 'cnn'?"),
        ("configuration.0.family", GONE, "configuration 1 (one): family missing from the configuration"),
        ("configuration.0.momentum", 0.9, "configuration 1 (one): momentum = 0.9 does not apply to optimizer = 'adam'"),
        (
            "configuration.0.width",
            32,
            "configuration 'one': width = 32 is outside space.width; widen the space, or leave the configurations out "
            "with `configuration = []`",
        ),
        ("configuration.1.hidden_size", 40, "configuration 'two': hidden_size = 40 is outside space.hidden_size"),
        ("configuration.1.ema", 0.1, "configuration 'two': ema = 0.1 is not in the space"),
    ],
)
def test_a_bad_field_is_named_with_its_file(file: Path, where: str, value: Any, message: str) -> None:
    write(file, changed(where, value))
    assert refusal(lambda: load_recipe(str(file))).startswith(f"{file}: {message}")


def test_a_list_in_place_of_a_configuration_is_refused(file: Path) -> None:
    write(file, changed("configuration", ["one"]))
    assert refusal(lambda: load_recipe(str(file))) == f"{file}: configuration 1: label and source are needed"


def test_a_sampler_of_enqueued_configurations_needs_some(file: Path) -> None:
    write(file, changed("sampler.name", "enqueued") | {"configuration": []})
    message = "sampler.name = 'enqueued' needs at least one [[configuration]]"
    assert refusal(lambda: load_recipe(str(file))) == f"{file}: {message}"


def test_recipes_that_extend_each_other_in_a_circle_are_refused(file: Path) -> None:
    write(file, {"extends": "other.toml"})
    other = write(file.with_name("other.toml"), {"extends": file.name})
    assert refusal(lambda: load_recipe(str(file))) == f"{other}: extends 'recipe.toml', which extends it"


def test_a_table_cannot_be_replaced_by_another_kind_of_value(file: Path) -> None:
    child = write(file.with_name("child.toml"), {"extends": file.name, "asha": 27})
    assert refusal(lambda: load_recipe(str(child))) == f"{child}: table [asha] is missing"
    assert refusal(lambda: load_recipe(str(child), max_epochs=3)) == f"{child}: table [asha] is missing"


def test_a_mistake_in_an_enqueued_file_is_told_under_its_own_name(file: Path) -> None:
    more = file.with_name("more.toml")
    write(file, {"enqueue": "more.toml"} | CONTENT)
    write(more, {"configuration": [dict(CONTENT["configuration"][0], width=2)]})
    assert refusal(lambda: load_recipe(str(file))) == (
        f"{more}: configuration 1 (one): width = 2: allowed from 4 to 512"
    )
    write(more, {"configurations": []})
    assert refusal(lambda: load_recipe(str(file))) == (
        f"{more}: unknown key 'configurations'; did you mean 'configuration'?"
    )


def test_load_enqueued_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "papers.toml"
    assert refusal(lambda: load_enqueued(file)) == f"{file}: cannot be read: No such file or directory"
