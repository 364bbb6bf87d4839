"""The losses, against each other, against formulas and against numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch

from bloodtune.space.configuration import LOSSES
from bloodtune.training.losses import Loss, build_loss
from engine_fixtures import make_configuration

COUNTS = torch.tensor([50, 30, 15, 5])
NEEDS: dict[str, dict[str, Any]] = {"focal": {"focal_gamma": 2.0}, "label_smoothing": {"label_smoothing": 0.1}}


def build(loss: str, **changes: Any) -> Loss:
    return build_loss(make_configuration(loss=loss, **NEEDS.get(loss, {}) | changes), COUNTS)


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.multinomial(COUNTS.float(), 200, replacement=True, generator=torch.Generator().manual_seed(1))


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    exponentials = logits.double().exp()
    return (exponentials / exponentials.sum(1, keepdim=True)).log()


def close(found: torch.Tensor, expected: torch.Tensor | float) -> bool:
    return float(found) == pytest.approx(float(expected), rel=1e-5)


def test_cross_entropy_and_nll_are_one_function(logits: torch.Tensor, labels: torch.Tensor) -> None:
    expected = -log_probabilities(logits)[torch.arange(200), labels].mean()
    assert close(build("cross_entropy")(logits, labels), expected)
    assert close(build("nll")(logits, labels), expected)
    for one in (logits, 30 * logits, 1000 * logits):
        torch.testing.assert_close(build("nll")(one, labels), build("cross_entropy")(one, labels))


def test_cross_entropy_and_nll_have_the_same_gradient(logits: torch.Tensor, labels: torch.Tensor) -> None:
    gradients = []
    for loss in ("cross_entropy", "nll"):
        leaf = logits.clone().requires_grad_()
        build(loss)(leaf, labels).backward()  # type: ignore[no-untyped-call]
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_weighted_cross_entropy_balances_the_classes(logits: torch.Tensor, labels: torch.Tensor) -> None:
    # scikit-learn's "balanced": n / (k * count).
    weights = 100 / (4 * COUNTS.double())
    entropy = -log_probabilities(logits)[torch.arange(200), labels]
    expected = (weights[labels] * entropy).sum() / weights[labels].sum()
    assert close(build("weighted_cross_entropy")(logits, labels), expected)


def test_weighted_cross_entropy_counts_a_rare_class_as_much_as_a_frequent_one() -> None:
    # All images of the training split at once: each class has the same say, whatever its count.
    labels = torch.arange(4).repeat_interleave(COUNTS)
    wrong = [
        build("weighted_cross_entropy")(20.0 * (labels[:, None] != k) * torch.eye(4)[labels], labels) for k in (0, 3)
    ]
    assert close(wrong[0], wrong[1])
    assert close(wrong[0], math.log(4) / 4)


def test_weighted_cross_entropy_of_balanced_classes_is_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor
) -> None:
    even = build_loss(make_configuration(loss="weighted_cross_entropy"), torch.tensor([7, 7, 7, 7]))
    torch.testing.assert_close(even(logits, labels), build("cross_entropy")(logits, labels))


def test_focal_without_gamma_is_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> None:
    torch.testing.assert_close(build("focal", focal_gamma=0.0)(logits, labels), build("cross_entropy")(logits, labels))


def test_focal_by_hand() -> None:
    # Probabilities of the truth: 1/4 and 1/2.
    logits = torch.tensor([[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]])
    labels = torch.tensor([2, 0])
    expected = (0.75**2 * math.log(4) + 0.5**2 * math.log(2)) / 2
    assert close(build("focal")(logits, labels), expected)


def test_focal_of_a_sure_answer_has_a_gradient() -> None:
    # 1 - p is 0 in float32 there; to a power below 1 its derivative would be infinite.
    logits = torch.tensor([[200.0, 0, 0, 0], [0.0, 200, 0, 0]], requires_grad=True)
    loss = build("focal", focal_gamma=0.5)(logits, torch.tensor([0, 0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert loss.isfinite()


def test_label_smoothing_by_its_formula(logits: torch.Tensor, labels: torch.Tensor) -> None:
    # Szegedy et al. 2016: the target is (1 - e) at the truth plus e / K everywhere.
    log_p = log_probabilities(logits)
    expected = -(0.9 * log_p[torch.arange(200), labels] + 0.1 * log_p.mean(1)).mean()
    assert close(build("label_smoothing")(logits, labels), expected)
    torch.testing.assert_close(
        build("label_smoothing", label_smoothing=0.0)(logits, labels), build("cross_entropy")(logits, labels)
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_a_scalar_that_falls_where_it_is_minimized(
    loss: str, logits: torch.Tensor, labels: torch.Tensor
) -> None:
    leaf, values = logits.clone().requires_grad_(), []
    for _ in range(3):
        value = build(loss)(leaf, labels)
        (gradient,) = torch.autograd.grad(value, leaf)
        leaf = (leaf - 20 * gradient).detach().requires_grad_()
        values.append(value.item())
    assert value.shape == ()
    assert values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_focal_has_the_gradient_of_its_formula(gamma: float, logits: torch.Tensor, labels: torch.Tensor) -> None:
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaf = logits.to(dtype).requires_grad_()
        p = leaf.softmax(1)[torch.arange(200), labels]
        formula = (-((1 - p) ** gamma) * p.log()).mean()
        value = build("focal", focal_gamma=gamma)(leaf, labels) if dtype == torch.float32 else formula
        gradients += torch.autograd.grad(value, leaf)
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_nan_shows_in_the_loss(loss: str, logits: torch.Tensor, labels: torch.Tensor) -> None:
    logits[3, 1] = float("nan")
    assert build(loss)(logits, labels).isnan()
