"""One searched hyperparameter: what it admits, when it applies, and what a list of them reaches."""

from typing import Any

import pytest

from bloodtune.errors import InputError
from bloodtune.space.parameter import Parameter, combinations, parameter_values
from engine_fixtures import make_configuration


def make(field: str, *, name: str = "", **rest: Any) -> Parameter:
    return Parameter(name or field, field, "test", **rest)


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (make("width", low=8, high=32), (8, 9, 32), (7, 33, None, "8")),
        (make("width", low=8, high=32, step=8), (8, 16, 24, 32), (9, 12, 40)),
        (make("dropout", low=0.0, high=0.3, step=0.1), (0.0, 0.1, 0.2, 0.3), (0.15, 0.4)),
        (make("learning_rate", low=0.001, high=1.0, log=True), (0.001, 0.0123, 1), (0.0009, 1.1, float("nan"))),
        (make("batch_size", choices=(64, 128)), (64, 128), (96, None)),
        (make("dihedral", choices=(False, True)), (False, True), (None, "True")),
    ],
    ids=lambda value: value.name if isinstance(value, Parameter) else "",
)
def test_admits_what_lies_in_the_range_or_among_the_choices(
    parameter: Parameter, inside: tuple[Any, ...], outside: tuple[Any, ...]
) -> None:
    assert [value for value in inside if not parameter.admits(value)] == []
    assert [value for value in outside if parameter.admits(value)] == []


def test_the_field_decides_whether_a_range_is_one_of_whole_numbers() -> None:
    assert make("shift", low=0, high=3).is_integer
    assert not make("focal_gamma", low=1, high=3).is_integer
    assert not make("dropout", low=0, high=0.5).is_integer


def test_applies_where_all_conditions_hold() -> None:
    parameter = make("momentum", choices=(0.9,), when={"optimizer": ("sgd",), "family": ("cnn", "mlnn")})
    assert parameter.applies({"optimizer": "sgd", "family": "mlnn"})
    assert not parameter.applies({"optimizer": "adam", "family": "mlnn"})
    assert not parameter.applies({"optimizer": "sgd", "family": "residual"})
    assert not parameter.applies({"optimizer": "sgd"})
    assert make("dropout", low=0.0, high=0.5).applies({})


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({}, r"^give either choices, or low and high$"),
        ({"low": 0.1}, r"^give either choices, or low and high$"),
        ({"low": 0.1, "high": 0.2, "choices": (0.1,)}, r"^give either choices, or low and high$"),
        ({"choices": ()}, r"^choices = \[\]: give at least one value$"),
        ({"choices": (0.1, 1.0)}, r"^dropout = 1.0: allowed from 0.0 to 0.9$"),
        ({"low": 0.1, "high": 1.0}, r"^dropout = 1.0: allowed from 0.0 to 0.9$"),
        ({"low": 0.2, "high": 0.1}, r"^low = 0.2 must be below high = 0.1$"),
        ({"low": 0.0, "high": 0.5, "log": True}, r"^log = true needs low above 0 and no step$"),
        ({"low": 0.1, "high": 0.5, "step": 0.3}, r"^step = 0.3: whole steps must lead from low = 0.1 to high = 0.5$"),
        ({"low": 0.1, "high": 0.5, "when": {"loss": ("nnl",)}}, r"^unknown loss 'nnl'; did you mean 'nll'\?$"),
    ],
)
def test_a_parameter_is_checked_where_it_is_built(rest: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("dropout", **rest)


SPACE = (
    make("family", choices=("mlnn", "cnn")),
    make("hidden_layers", low=1, high=2, when={"family": ("mlnn",)}),
    make("hidden_size", low=16, high=64, when={"family": ("mlnn",)}),
    make("width", choices=(8, 16), when={"family": ("cnn",)}),
    make("optimizer", choices=("adam", "adamw")),
    make("learning_rate", low=0.001, high=0.1, log=True, name="adam_rate", when={"optimizer": ("adam",)}),
    make("learning_rate", low=0.01, high=0.2, log=True, name="adamw_rate", when={"optimizer": ("adamw",)}),
    make("batch_size", choices=(32, 64)),
)


def test_parameter_values_are_given_where_they_apply() -> None:
    assert parameter_values(make_configuration("cnn"), SPACE) == {
        "family": "cnn",
        "width": 8,
        "optimizer": "adam",
        "adam_rate": 0.003,
        "batch_size": 32,
    }
    found = parameter_values(make_configuration("mlnn", optimizer="adamw", learning_rate=0.2), SPACE)
    assert found["adamw_rate"] == 0.2
    assert {"width", "adam_rate"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "residual"}, "^family = 'residual' is outside space.family$"),
        ({"width": 12}, "^width = 12 is outside space.width$"),
        ({"optimizer": "adamw"}, "^learning_rate = 0.003 is outside space.adamw_rate$"),
        ({"batch_size": 128}, "^batch_size = 128 is outside space.batch_size$"),
        ({"dropout": 0.2}, "^dropout = 0.2 is not in the space$"),
        ({"loss": "focal", "focal_gamma": 2.0}, "^loss = 'focal' is not in the space$"),
    ],
)
def test_parameter_values_refuse_what_the_space_does_not_hold(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameter_values(make_configuration(**{"family": "cnn"} | changes), SPACE)


def test_combinations_go_through_all_that_decides_and_take_one_value_of_the_rest() -> None:
    found = list(combinations(SPACE))
    assert [(values["family"], values["optimizer"]) for values in found] == [
        ("mlnn", "adam"),
        ("mlnn", "adamw"),
        ("cnn", "adam"),
        ("cnn", "adamw"),
    ]
    assert found[0] == {
        "family": "mlnn",
        "hidden_layers": 2,
        "hidden_size": 64,
        "optimizer": "adam",
        "learning_rate": 0.1,
        "batch_size": 64,
    }
    assert found[3] == {"family": "cnn", "width": 16, "optimizer": "adamw", "learning_rate": 0.2, "batch_size": 64}


def test_combinations_refuse_two_parameters_for_one_field() -> None:
    with pytest.raises(InputError, match=r"^second: another parameter sets width already$"):
        list(combinations((*SPACE, make("width", name="second", choices=(4,), when={"family": ("cnn",)}))))
