"""Recipe files that are refused: one line that names file, place, value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from bloodtune.errors import InputError
from bloodtune.space.parameter import Parameter
from bloodtune.space.recipe_file import BOOK, load_enqueued, load_recipe
from error_fixtures import refusal
from recipe_fixtures import CONTENT, GONE, changed, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "recipe.toml", CONTENT)


def test_a_recipe_that_is_not_there_is_answered_with_those_that_are() -> None:
    names = "cnn, default, imagenet, mlnn, published, random, record, smoke"
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
        ("asha.reduction_factor", [3, 3], "asha.reduction_factor = [3, 3]: allowed are whole numbers from 2, and a"),
        *(
            (
                "asha",
                {"max_epochs": 9, "reduction_factor": factors, "rungs": [1, 3]},
                f"asha.reduction_factor = {factors!r}: allowed is a whole number from 2, or a list with",
            )
            for factors in ([], [2], [2, 4, 4], [2, 1], [2, True], ["2", 4], [[2], 4], 1, "3", 2.5, {"a": 2})
        ),
        ("asha.reduction_factor", GONE, "asha: reduction_factor missing"),
        ("asha.last_rung", 10, "asha.last_rung = 10 is above max_epochs = 9"),
        ("asha.last_rung", 0, "asha.last_rung = 0: allowed are whole numbers from 1"),
        (
            "asha",
            {"max_epochs": 9, "first_rung": 3, "reduction_factor": 3, "last_rung": 2},
            "asha.first_rung = 3 is above last_rung = 2",
        ),
        ("asha.last_rung", "9", "asha.last_rung = '9': allowed are whole numbers from 1"),
        ("asha.first_rung", GONE, "asha: one of first_rung and rungs must be given, and not both"),
        ("asha.rungs", [1, 3], "asha: one of first_rung and rungs must be given, and not both"),
        *(
            (
                "asha",
                {"max_epochs": 9, "reduction_factor": 3, "rungs": rungs},
                f"asha.rungs = {rungs!r}: allowed are rising",
            )
            for rungs in ([], [3, 3], [6, 2], [2, 9], [0, 2], [1.5], ["2"], 2, "2")
        ),
        ("asha.max_epoch", 9, "asha: unknown key 'max_epoch'; did you mean 'max_epochs'?"),
        # a parameter
        ("space.widht", {"choices": [1], "source": "x"}, "space.widht: unknown hyperparameter 'widht'; did you mean"),
        ("space.width.field", "widht", "space.width: unknown hyperparameter 'widht'; did you mean 'width'?"),
        ("space.width.field", 5, "space.width: unknown hyperparameter '5'; allowed: family,"),
        ("space.width", 32, "space.width: expected a table, got 32"),
        ("space.width.choice", [1], "space.width: unknown key 'choice'; did you mean 'choices'?"),
        ("space.width.name", "width", "space.width: unknown key 'name'; allowed: field, source,"),
        ("space.width.source", GONE, "space.width: source is empty: name the origin of the range, such as a paper"),
        ("space.width.source", "", "space.width: source is empty: name the origin of the range, such as a paper"),
        ("space.width.choices", GONE, "space.width: give either choices, or low and high"),
        ("space.width.choices", [], "space.width: choices = []: give at least one value"),
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
        ("configuration.0.label", GONE, "configuration 1 needs a label and a source"),
        ("configuration.1.source", "", "configuration 2 needs a label and a source"),
        ("configuration.1.epochs", 0, "configuration 2: epochs = 0: allowed are whole numbers from 1"),
        ("configuration.1.epochs", True, "configuration 2: epochs = True: allowed are whole numbers from 1"),
        ("configuration.1.widht", 8, "configuration 2: unknown key 'widht'; did you mean 'width'?"),
        ("configuration.0.family", "cmn", "configuration 1 (one): unknown family 'cmn'; did you mean 'cnn'?"),
        ("configuration.0.family", GONE, "configuration 1 (one): family missing from the configuration"),
        ("configuration.0.momentum", 0.9, "configuration 1 (one): momentum = 0.9 does not apply to optimizer = 'adam'"),
        (
            "configuration.0.width",
            32,
            "configuration 'one': width = 32 is outside space.width; widen the space, or leave out the configurations "
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
    assert refusal(lambda: load_recipe(str(file))) == f"{file}: configuration 1 needs a label and a source"


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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("description = " + "[" * 3000, "not a valid TOML file: it is nested too deeply"),
        ("description = " + "9" * 5000, "not a valid TOML file: Exceeds the limit (4300 digits)"),
        ("description = 0x" + "F" * 5000, "not a valid TOML file: a whole number of more than 64 bits"),
    ],
)
def test_toml_that_python_cannot_hold_is_refused(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(line)
    assert message in refusal(lambda: load_recipe(str(file)))


def test_a_step_too_small_for_a_float_is_refused() -> None:
    with pytest.raises(InputError, match="whole steps must lead from"):
        Parameter("dropout", "dropout", "test", low=0.0, high=0.5, step=5e-324)
