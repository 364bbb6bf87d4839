"""One configuration: its bounds, its choices, which fields belong together, and its way to a mapping and back."""

import dataclasses
from typing import Any, get_args, get_type_hints

import pytest

from bloodtune.errors import InputError
from bloodtune.space.configuration import BOUNDS, FIELD_NAMES, Configuration, check_value
from engine_fixtures import SGD, make_configuration
from error_fixtures import refusal

ADAM = {"optimizer": "adam", "learning_rate": 0.001}
MLNN: dict[str, Any] = {"family": "mlnn", "hidden_layers": 2, "hidden_size": 1180, **ADAM}
CNN: dict[str, Any] = {"family": "cnn", "width": 32, **ADAM}

RESNET: dict[str, Any] = {"family": "resnet", "width": 8, "depth": 1, **ADAM}
WITH_WIDTH = "cnn, lightweight, residual, resnet"

NEEDS: dict[str, dict[str, Any]] = {
    "hidden_layers": MLNN,
    "hidden_size": MLNN,
    "label_smoothing": CNN | {"loss": "label_smoothing"},
    "focal_gamma": CNN | {"loss": "focal"},
    "momentum": CNN | SGD,
    "depth": RESNET,
}


def refusal_of(values: dict[str, Any]) -> str:
    """Return the message with which a configuration is refused."""
    return refusal(lambda: Configuration.from_mapping(values))


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_included_and_nothing_beyond_them(name: str) -> None:
    base, (low, high) = NEEDS.get(name, CNN), BOUNDS[name]
    for value in (low, high):
        assert getattr(Configuration.from_mapping(base | {name: value}), name) == value
    margin = 1 if isinstance(low, int) else 1e-8
    for value in (low - margin, high + 1):
        expected = f"{name} = {value!r}: allowed from {low} to {high}"
        assert refusal_of(base | {name: value}) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_rate_that_is_no_finite_number_is_refused(value: float) -> None:
    assert refusal_of(CNN | {"learning_rate": value}).startswith("learning_rate = ")


def test_every_number_has_bounds() -> None:
    numbers = {name for name, hint in get_type_hints(Configuration).items() if {int, float} & {hint, *get_args(hint)}}
    assert set(BOUNDS) == numbers


@pytest.mark.parametrize(
    ("field", "unusable"),
    [
        ("dropout", 1.0),  # would switch every unit off
        ("momentum", 1.0),  # would never forget a gradient
        ("batch_size", 1),  # batch normalization needs two images
        ("shift", 8),  # reflection padding must be smaller than the smallest image, 8 pixels
        ("width", 0),
        ("learning_rate", 0.0),
    ],
)
def test_a_value_that_no_training_can_use_is_out_of_bounds(field: str, unusable: float) -> None:
    assert f"{field} = {unusable!r}: allowed from " in refusal_of(NEEDS.get(field, CNN) | {field: unusable})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("family", "cn", "unknown family 'cn'; did you mean 'cnn'?"),
        ("family", "transformer", "unknown family 'transformer'; allowed: mlnn, cnn, lightweight, residual, resnet"),
        ("loss", "nnl", "unknown loss 'nnl'; did you mean 'nll'?"),
        ("optimizer", "adamww", "unknown optimizer 'adamww'; did you mean 'adamw'?"),
        ("schedule", "onecycle", "unknown schedule 'onecycle'; did you mean 'one_cycle'?"),
    ],
)
def test_a_choice_that_is_not_there_is_answered_with_the_nearest(name: str, value: str, message: str) -> None:
    assert refusal_of(CNN | {name: value}) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"family": "mlnn", "hidden_size": 64} | ADAM, "hidden_layers is missing: family = 'mlnn' needs it"),
        ({"family": "mlnn", "hidden_layers": 2} | ADAM, "hidden_size is missing: family = 'mlnn' needs it"),
        *(
            ({"family": family} | ADAM, f"width is missing: family = '{family}' needs it")
            for family in ("cnn", "lightweight", "residual")
        ),
        (MLNN | {"width": 32}, "width = 32 does not apply to family = 'mlnn', only to " + WITH_WIDTH),
        ({"family": "resnet", "width": 8} | ADAM, "depth is missing: family = 'resnet' needs it"),
        (CNN | {"depth": 1}, "depth = 1 does not apply to family = 'cnn', only to resnet"),
        (CNN | {"hidden_layers": 1}, "hidden_layers = 1 does not apply to family = 'cnn', only to mlnn"),
        (CNN | {"hidden_size": 64}, "hidden_size = 64 does not apply to family = 'cnn', only to mlnn"),
        (CNN | {"loss": "focal"}, "focal_gamma is missing: loss = 'focal' needs it"),
        (CNN | {"focal_gamma": 2.0}, "focal_gamma = 2.0 does not apply to loss = 'cross_entropy', only to focal"),
        (CNN | {"loss": "label_smoothing"}, "label_smoothing is missing: loss = 'label_smoothing' needs it"),
        (
            CNN | {"loss": "nll", "label_smoothing": 0.1},
            "label_smoothing = 0.1 does not apply to loss = 'nll', only to label_smoothing",
        ),
        (CNN | SGD | {"momentum": None}, "momentum is missing: optimizer = 'sgd' needs it"),
        (CNN | SGD | {"nesterov": None}, "nesterov is missing: optimizer = 'sgd' needs it"),
        (CNN | {"momentum": 0.9}, "momentum = 0.9 does not apply to optimizer = 'adam', only to sgd"),
        (CNN | {"nesterov": False}, "nesterov = False does not apply to optimizer = 'adam', only to sgd"),
        (CNN | SGD | {"momentum": 0.0, "nesterov": True}, "nesterov = true needs momentum above 0"),
    ],
)
def test_fields_must_apply_to_each_other(values: dict[str, Any], message: str) -> None:
    assert refusal_of(values) == message


def test_momentum_may_be_zero_without_nesterov() -> None:
    assert Configuration.from_mapping(CNN | SGD | {"momentum": 0.0}).momentum == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", 32.0, "width = 32.0: expected int, got float"),
        ("width", "32", "width = '32': expected int, got str"),
        ("width", True, "width = True: expected int, got bool"),
        ("dropout", False, "dropout = False: expected float, got bool"),
        ("dropout", "0.2", "dropout = '0.2': expected float, got str"),
        ("dihedral", 1, "dihedral = 1: expected bool, got int"),
        ("family", 3, "family = 3: expected str, got int"),
        ("loss", ["nll"], "loss = ['nll']: expected str, got list"),
    ],
)
def test_types_are_exact(name: str, value: Any, message: str) -> None:
    assert refusal_of(CNN | {name: value}) == message


def test_a_whole_number_is_taken_for_a_float() -> None:
    values = {"dropout": 0, "weight_decay": 1, "learning_rate": 1}
    assert Configuration.from_mapping(CNN | values) == Configuration.from_mapping(
        CNN | {"dropout": 0.0, "weight_decay": 1.0, "learning_rate": 1.0}
    )


def test_from_mapping_names_the_hyperparameter_that_was_meant() -> None:
    assert refusal_of(CNN | {"momentun": 0.9}) == "unknown hyperparameter 'momentun'; did you mean 'momentum'?"
    assert refusal_of(CNN | {"xyzzy": 1}).startswith("unknown hyperparameter 'xyzzy'; allowed: family, hidden_layers,")


def test_from_mapping_names_all_that_is_missing() -> None:
    assert refusal_of({"width": 32}) == "family, optimizer, learning_rate missing from the configuration"
    assert refusal_of(CNN | {"learning_rate": None}) == "learning_rate missing from the configuration"


def test_none_stands_for_a_field_that_does_not_apply() -> None:
    everything = dict.fromkeys(FIELD_NAMES) | CNN
    assert Configuration.from_mapping(everything) == Configuration.from_mapping(CNN)


def test_none_is_refused_where_a_field_always_applies() -> None:
    with pytest.raises(InputError, match=r"^dropout = None: expected float, got NoneType$"):
        Configuration(**CNN, dropout=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual", "resnet"])
@pytest.mark.parametrize("changes", [{}, SGD, {"loss": "focal", "focal_gamma": 2.0, "ema": 0.1, "dihedral": True}])
def test_a_mapping_and_back_is_the_same_configuration(family: str, changes: dict[str, Any]) -> None:
    configuration = make_configuration(family, **changes)
    mapping = configuration.to_mapping()
    assert Configuration.from_mapping(mapping) == configuration
    assert None not in mapping.values()
    assert list(mapping) == [name for name in FIELD_NAMES if name in mapping]
    assert mapping.items() >= changes.items()


def test_a_configuration_cannot_be_changed() -> None:
    configuration = make_configuration()
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'width'"):
        configuration.width = 8  # type: ignore[misc]


def test_a_changed_copy_is_checked_too() -> None:
    with pytest.raises(InputError, match=r"^dropout = 0.95: allowed from 0.0 to 0.9$"):
        dataclasses.replace(make_configuration(), dropout=0.95)


def test_check_value_knows_one_field_by_itself() -> None:
    check_value("momentum", 0.9)
    check_value("momentum", None)
    with pytest.raises(InputError, match=r"^momentum = 1: allowed from 0.0 to 0.999$"):
        check_value("momentum", 1)
