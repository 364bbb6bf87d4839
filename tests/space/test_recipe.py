"""Recipe files: what they say and how they extend each other."""

import dataclasses
from pathlib import Path

import pytest

from bloodtune.space.recipe import Asha, Enqueued, enqueue_first
from bloodtune.space.recipe_file import BOOK, load_recipe
from recipe_fixtures import CONTENT, changed, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "recipe.toml", CONTENT)


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
        ((27, 3, 3, 9), (3,)),
        ((27, 1, 3, 5), (1, 3)),
        ((27, 9, 3, 9), ()),
        ((27, 1, 3, 27), (1, 3, 9)),
    ],
)
def test_rungs_lie_below_the_last_epoch(asha: tuple[int, ...], rungs: tuple[int, ...]) -> None:
    assert Asha(*asha).rungs == rungs


@pytest.mark.parametrize(
    ("asha", "budget", "epochs"),
    [
        # 64 trials to epoch 3, 21 of them 6 further, 7 of those 18 further: 192 + 126 + 126.
        ((27, 3, 3), 64, 444),
        # 64 to epoch 1, 21 two further, 7 six further, 2 eighteen further: 64 + 42 + 42 + 36.
        ((27, 1, 3), 64, 184),
        ((27, 3, 3, 9), 64, 192 + 126),
        # 27 to epoch 1, 9 two further, 3 six further, 1 eighteen further: 27 + 18 + 18 + 18.
        ((27, 1, 3), 27, 81),
        # Never less than one trial goes on.
        ((27, 3, 3), 1, 27),
        ((27, 3, 3), 2, 2 * 3 + 6 + 18),
        ((27, 3, 3), 0, 0),
        ((40, 40, 3), 9, 360),
    ],
)
def test_expected_epochs_by_hand(asha: tuple[int, ...], budget: int, epochs: int) -> None:
    assert Asha(*asha).expected_epochs(budget) == epochs


@pytest.mark.parametrize(
    ("epochs", "trials"),
    [
        ([], [64, 21, 7, 2]),
        # 31 wait at epoch 1, two have gone on: still 21 in all.
        ([1] * 31 + [3, 3], [64, 21, 7, 2]),
        # 20 of the first 30 have gone on, so a third of the other 34 does: 20 + 11.
        ([1] * 10 + [2] * 20, [64, 31, 10, 3]),
        # All have reached the first rung.
        ([1] * 40 + [9] * 24, [64, 24, 24, 8]),
        ([1] * 43 + [3] * 14 + [9] * 5 + [27] * 2, [64, 21, 7, 2]),
    ],
)
def test_expected_trials_follow_those_that_have_gone_on(epochs: list[int], trials: list[int]) -> None:
    assert Asha(27, 1, 3).expected_trials(64, epochs) == trials


def test_explicit_rungs_are_kept_shortened_and_replaced_by_a_child(file: Path) -> None:
    asha = Asha(27, None, 5, rungs=(2, 6))
    assert (asha.rungs, asha.stage_ends, asha.expected_epochs(64)) == ((2, 6), (0, 2, 6, 27), 128 + 12 * 4 + 2 * 21)
    assert [asha.with_max_epochs(most).rungs for most in (27, 6, 3, 2, 1)] == [(2, 6), (2,), (2,), (), ()]
    parent = write(file.with_name("parent.toml"), {"extends": file.name, "asha": {"rungs": [2, 6]}})
    assert load_recipe(str(parent)).asha == Asha(9, None, 3, rungs=(2, 6))
    assert "first_rung" not in load_recipe(str(parent)).text
    child = write(file.with_name("child.toml"), {"extends": "parent.toml", "asha": {"first_rung": 1}})
    assert load_recipe(str(child)).asha == Asha(9, 1, 3)


def test_a_factor_for_each_rung_is_kept_and_shortened(file: Path) -> None:
    asha = Asha(27, None, (2, 4), rungs=(2, 6))
    assert (asha.factors, asha.expected_trials(64), asha.expected_epochs(64)) == ((2, 4), [64, 32, 8], 128 + 128 + 168)
    cut = asha.with_max_epochs(6)
    assert (cut.rungs, cut.factors, asha.with_max_epochs(2).rungs) == ((2,), (2,), ())
    write(file, CONTENT | {"asha": asha.to_mapping()})
    assert load_recipe(str(file)).asha == asha
    assert load_recipe(str(file), max_epochs=6).asha == cut


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
        ((27, 3, 3, 9), 81, (81, 3, 3, 9)),
        ((27, 3, 3, 9), 5, (5, 3, 3, 5)),
        ((27, 3, 3, 9), 2, (2, 2, 3, 2)),
        ((27, 9, 3, 9), 81, (81, 9, 3, 9)),
    ],
)
def test_max_epochs_takes_the_place_of_the_recipes_own(
    file: Path, asha: tuple[int, ...], max_epochs: int, expected: tuple[int, ...]
) -> None:
    write(file, CONTENT | {"asha": Asha(*asha).to_mapping()})
    recipe = load_recipe(str(file), max_epochs=max_epochs)
    assert recipe.asha == Asha(*expected)
    file.write_text(recipe.text, encoding="utf-8")
    assert load_recipe(str(file)).asha == Asha(*expected)


def test_enqueue_first_puts_configurations_ahead(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(file))
    new = Enqueued("new", "elsewhere", dataclasses.replace(recipe.enqueued[0].configuration, learning_rate=0.02))
    changed = enqueue_first(recipe, [new])
    assert changed.enqueued == (new, *recipe.enqueued)
    (tmp_path / "used.toml").write_text(changed.text)
    assert load_recipe(str(tmp_path / "used.toml")) == changed, "as a resumed run reads it"
