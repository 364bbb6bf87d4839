"""Optimisers, schedules and the average of weights."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bloodtune.space.configuration import SCHEDULES, Configuration
from bloodtune.space.families import FAMILIES
from bloodtune.training.models import build_network
from bloodtune.training.optimizers import WeightAverage, build_optimizer, schedule_factor
from engine_fixtures import SGD, make_configuration

ADAMW = {"optimizer": "adamw", "learning_rate": 0.002}


def build(configuration: Configuration) -> nn.Sequential:
    torch.manual_seed(0)
    return build_network(configuration, size=12, classes=3, mean=torch.ones(3), deviation=torch.ones(3))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", [SGD, {"optimizer": "adam", "learning_rate": 0.002}, ADAMW])
def test_weight_decay_is_for_matrices_and_filters_alone(family: str, optimizer: dict[str, Any]) -> None:
    configuration = make_configuration(family, **optimizer, weight_decay=0.1)
    network = build(configuration)
    decay = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(configuration, network).param_groups
        for parameter in group["params"]
    }
    assert len(decay) == len(list(network.parameters()))
    for layer in network.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            decays = isinstance(layer, (nn.Linear, nn.Conv2d)) and name == "weight"
            assert decay[id(parameter)] == (0.1 if decays else 0.0)


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        (SGD, torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": False}),
        (SGD | {"nesterov": True, "momentum": 0.8}, torch.optim.SGD, {"lr": 0.01, "momentum": 0.8, "nesterov": True}),
        (SGD | {"momentum": 0.0}, torch.optim.SGD, {"lr": 0.01, "momentum": 0.0}),
        ({"optimizer": "adam", "learning_rate": 0.5}, torch.optim.Adam, {"lr": 0.5, "decoupled_weight_decay": False}),
        (ADAMW, torch.optim.AdamW, {"lr": 0.002, "betas": (0.9, 0.999)}),
    ],
)
def test_the_optimizer_is_the_one_of_the_configuration(
    changes: dict[str, Any], kind: type, expected: dict[str, Any]
) -> None:
    configuration = make_configuration("cnn", **changes)
    optimizer = build_optimizer(configuration, build(configuration))
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert group.items() >= expected.items()


def test_decay_shrinks_weights_without_a_gradient_under_adamw() -> None:
    configuration = make_configuration("mlnn", optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    network = build(configuration)
    before = copy.deepcopy(network.state_dict())
    optimizer = build_optimizer(configuration, network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        factor = 1 - 0.1 * 0.5 if name.endswith("weight") else 1
        torch.testing.assert_close(parameter.detach(), factor * before[name])


# Schedules


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.5, 1.0),
        ("constant", 1.0, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("one_cycle", 0.0, 0.1),
        ("one_cycle", 0.02, 0.55),
        ("one_cycle", 0.04, 1.0),
        ("one_cycle", 0.52, 0.5),
        ("one_cycle", 1.0, 0.0),
    ],
)
def test_schedules_at_points_worked_out_by_hand(schedule: str, progress: float, factor: float) -> None:
    assert schedule_factor(schedule, progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_rise_once_at_most_and_never_leave_their_peak(schedule: str) -> None:
    factors = np.array([schedule_factor(schedule, progress) for progress in np.linspace(0, 1, 1001)])
    assert factors.min() >= 0
    assert factors.max() == pytest.approx(1)
    top = int(factors.argmax())
    assert (np.diff(factors[: top + 1]) > 0).all()
    assert top == (40 if schedule == "one_cycle" else 0)
    if schedule != "constant":
        assert (np.diff(factors[top:]) < 0).all()
    assert np.abs(np.diff(factors)).max() < 0.03


# The average of weights


class Small(nn.Module):
    """A matrix, a norm with its statistics, and an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


def average_over(network: nn.Module, window: float, steps: int) -> tuple[WeightAverage, list[dict[str, torch.Tensor]]]:
    """Move all weights and statistics at random; return their average, and where they were after each step."""
    average, states = WeightAverage(network, window), []
    generator = torch.Generator().manual_seed(0)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor += torch.randn(tensor.shape, generator=generator).to(tensor.dtype) if tensor.ndim else 1
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        # As a number, or as a tensor for a GPU.
        average.update(average.share(step) if step % 2 else torch.tensor(average.share(step)))
    return average, states


def test_an_average_over_all_steps_is_their_mean() -> None:
    average, states = average_over(Small(), 1.0, 20)
    for name, tensor in average.network.state_dict().items():
        if tensor.is_floating_point():
            expected = torch.stack([state[name] for state in states]).mean(0)
            torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [0.05, 0.2, 0.5])
def test_an_average_follows_its_recursion(window: float) -> None:
    average, states = average_over(Small(), window, 40)
    expected = {name: tensor.double() for name, tensor in states[0].items()}
    for step, state in enumerate(states[1:], start=2):
        share = min(1.0, 1 / (window * step))
        expected = {name: tensor + share * (state[name] - tensor) for name, tensor in expected.items()}
    for name, tensor in average.network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-4, atol=1e-5)


def test_the_window_is_a_share_of_the_steps_taken_so_far() -> None:
    # Where weights count the steps, their average lags behind by window / (1 + window) of them, early or late.
    lags = {}
    for steps in (400, 4000):
        network = nn.Linear(1, 1, bias=False)
        average = WeightAverage(network, 0.1)
        for step in range(1, steps + 1):
            nn.init.constant_(network.weight, float(step))
            average.update(average.share(step))
        lags[steps] = 1 - average.network.weight.item() / steps  # type: ignore[union-attr, operator]
    assert lags[400] == pytest.approx(0.1 / 1.1, rel=0.05)
    assert lags[4000] == pytest.approx(0.1 / 1.1, rel=0.05)


def test_an_average_takes_in_the_statistics_of_norms_but_no_integers() -> None:
    average, states = average_over(Small(), 0.5, 10)
    found = average.network.state_dict()
    assert found["norm.num_batches_tracked"] == 0
    assert states[-1]["norm.num_batches_tracked"] == 10
    for name in ("norm.running_mean", "norm.running_var"):
        assert not torch.equal(found[name], states[-1][name])
        assert not torch.equal(found[name], Small().state_dict()[name])


def test_the_first_update_forgets_where_the_weights_started() -> None:
    average, states = average_over(Small(), 1.0, 1)
    torch.testing.assert_close(average.network.state_dict()["linear.weight"], states[0]["linear.weight"])


def test_an_average_leaves_the_trained_network_alone() -> None:
    network = Small()
    average, states = average_over(network, 0.5, 3)
    assert all(torch.equal(tensor, states[-1][name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
