"""The choice of precision and layers from the measurements of all hosts."""

from __future__ import annotations

import contextlib

import pytest
import torch

from bloodtune.errors import InputError
from bloodtune.training.numerics import (
    PLAIN,
    Numerics,
    check_precision,
    choose_numerics,
    describe_times,
    supported_precisions,
)
from bloodtune.training.trainer import DivergedError, Training
from engine_fixtures import SGD, make_configuration, make_splits

FAST, SLOW = {"cnn": 0.010, "mlnn": 0.010}, {"cnn": 0.020, "mlnn": 0.020}


def times(**variants: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return step times by family from those by variant, where ``plain`` names PyTorch's own layers."""
    named = {name.replace("plain", PLAIN): by_family for name, by_family in variants.items()}
    return {f: {name: by_family[f] for name, by_family in named.items() if f in by_family} for f in ("cnn", "mlnn")}


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        (times(float32=SLOW, plain=SLOW, bfloat16=FAST), Numerics("bfloat16")),
        (times(float32=FAST, plain=SLOW, bfloat16=SLOW), Numerics("float32")),
        # Faster by less than a measurement repeats itself.
        (times(float32=SLOW, plain=SLOW, bfloat16={"cnn": 0.0195, "mlnn": 0.0195}), Numerics("float32")),
        # Faster over all, but slower than what everyone else uses for one family.
        (times(float32=SLOW, plain=SLOW, bfloat16={"cnn": 0.005, "mlnn": 0.021}), Numerics("float32")),
        # Too slow for one family to be timed.
        (times(float32=SLOW, plain=SLOW, bfloat16={"cnn": 0.005}), Numerics("float32")),
        (times(float32=SLOW, plain=SLOW, bfloat16=FAST, float16={"cnn": 0.001, "mlnn": 0.001}), Numerics("float16")),
        (times(float32=SLOW, plain={"cnn": 0.030, "mlnn": 0.018}), Numerics("float32", ("mlnn",))),
        (times(float32=SLOW, plain={"cnn": 0.030, "mlnn": 0.0195}), Numerics("float32")),
    ],
)
def test_the_fastest_precision_is_chosen_that_slows_no_family(
    measured: dict[str, dict[str, float]], chosen: Numerics
) -> None:
    assert choose_numerics([measured], [2]) == chosen


def test_a_precision_that_was_asked_for_is_taken() -> None:
    measured = times(float32=FAST, plain=SLOW, bfloat16=SLOW)
    assert choose_numerics([measured], [2], "bfloat16") == Numerics("bfloat16")
    slow_layers = times(float32=SLOW, plain=FAST)
    assert choose_numerics([slow_layers], [2], "float32") == Numerics("float32", ("cnn", "mlnn"))


def test_hosts_that_differ_share_the_precision_in_which_they_train_most() -> None:
    with_bfloat16 = times(float32=SLOW, plain=SLOW, bfloat16={"cnn": 0.015, "mlnn": 0.015})
    without = times(float32=SLOW, plain=SLOW, bfloat16={"cnn": 0.040, "mlnn": 0.040})
    assert choose_numerics([with_bfloat16, without], [30, 2]).precision == "bfloat16"
    assert choose_numerics([with_bfloat16, without], [2, 30]).precision == "float32"


def test_step_times_read_as_one_line() -> None:
    measured = times(float32=FAST, plain=SLOW, bfloat16=SLOW)
    assert describe_times(measured) == "ms per step: cnn 10 float32, 20 bfloat16; mlnn 10 float32, 20 bfloat16"


def test_a_record_gives_its_numerics_back_and_an_older_one_none() -> None:
    numerics = Numerics("float32", ("mlnn",))
    assert Numerics.from_mapping({"seed": 0, **numerics.to_mapping()}) == numerics
    assert Numerics.from_mapping({"seed": 0}) is None


@pytest.mark.parametrize("precision", ["float16", "tf32", "int8"])
def test_a_precision_that_the_device_lacks_is_refused(precision: str) -> None:
    with pytest.raises(InputError, match=f"^precision {precision}: a CPU trains in float32 or bfloat16$"):
        check_precision(precision, "cpu")


@pytest.mark.parametrize(
    ("capability", "has_bfloat16", "expected"),
    [
        ((6, 1), False, ("float32",)),
        ((7, 5), False, ("float32", "float16")),  # a T4
        ((9, 0), True, ("float32", "tf32", "bfloat16", "float16")),
    ],
)
def test_a_gpu_has_the_precisions_of_its_generation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has_bfloat16: bool, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert supported_precisions("cuda") == expected


@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual"])
@pytest.mark.parametrize(
    "numerics", [Numerics(), Numerics("bfloat16"), Numerics("float32", ("mlnn", "cnn", "lightweight", "residual"))]
)
def test_every_family_learns_in_each_of_the_numerics_and_the_same_twice(family: str, numerics: Numerics) -> None:
    def train() -> list[float]:
        training = Training(make_configuration(family), make_splits(), max_epochs=4, seed=3, numerics=numerics)
        return [training.run_epoch().train_loss for _ in range(4)]

    losses = train()
    assert losses[-1] < losses[0]
    assert losses == train()


def test_float16_scales_its_loss_and_goes_on_from_a_checkpoint() -> None:
    splits = make_splits(64, 30)
    # What float16 cannot hold: gradients of a loss that is this small vanish without a scale.
    configuration = make_configuration("mlnn", **SGD, hidden_size=8)

    def start() -> Training:
        return Training(configuration, splits, max_epochs=3, seed=0, numerics=Numerics("float16"))

    whole = start()
    whole.run_epoch()
    saved = whole.save()
    expected = whole.run_epoch()
    again = start()
    again.restore(saved)
    found = again.run_epoch()
    assert (found.train_loss, found.val_macro_f1) == (expected.train_loss, expected.val_macro_f1)
    assert again._scaler.get_scale() > 1


def test_a_step_that_overflows_in_float16_changes_no_weight() -> None:
    training = Training(
        make_configuration("mlnn", **SGD, hidden_size=8),
        make_splits(32, 30),
        max_epochs=2,
        seed=0,
        numerics=Numerics("float16"),
    )
    before = [parameter.detach().clone() for parameter in training._trained.parameters()]
    training._loss = lambda logits, labels: logits.sum() * 1e30
    with contextlib.suppress(DivergedError):
        training.train_epoch()
    for parameter, old in zip(training._trained.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
