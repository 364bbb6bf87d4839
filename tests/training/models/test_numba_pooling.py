"""Pooling by loops of our own gives what PyTorch's gives, bit by bit."""

from __future__ import annotations

import numba
import pytest
import torch
from torch.nn import functional

from bloodtune.training.models import numba_pooling
from bloodtune.training.models.cpu_layers import MaxPoolReLU


def draw(
    *shape: int, memory_format: torch.memory_format = torch.channels_last, dtype: torch.dtype = torch.bfloat16
) -> torch.Tensor:
    """Return numbers of which many are equal, negative, or zeros of either sign."""
    torch.manual_seed(0)
    images = torch.randint(-3, 4, shape).to(dtype) / 2
    images[images == 0] *= -1
    return images.to(memory_format=memory_format)


def pool_both(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, of our layer and of PyTorch, the pooled images and the gradient of the images under a drawn one."""
    results = []
    for pool in (MaxPoolReLU(), lambda x: functional.relu(functional.max_pool2d(x, 2))):
        given = images.clone().requires_grad_()
        pooled = pool(given)
        gradient = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0)).to(pooled.dtype)
        pooled.backward(gradient)
        assert given.grad is not None
        results.append(torch.cat([pooled.detach().flatten(), given.grad.flatten()]))
    return results[0], results[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(3, 32, 8, 8), (2, 5, 7, 7), (2, 3, 2, 5), (1, 1, 4, 6), (4, 64, 3, 2)])
def test_pooled_numbers_and_their_gradients_are_pytorchs(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    ours, theirs = pool_both(draw(*shape, dtype=dtype))
    assert torch.equal(ours, theirs)


def test_what_the_loops_do_not_take_is_pooled_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arrays: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(numba_pooling, "pool_rectified", refuse)
    for images in (draw(2, 4, 6, 6).double(), draw(2, 4, 6, 6, memory_format=torch.contiguous_format)):
        ours, theirs = pool_both(images)
        assert torch.equal(ours, theirs)
    with pytest.raises(AssertionError, match="called"):
        pool_both(draw(2, 4, 6, 6))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_number_that_is_none_stays_one(sign: float, dtype: torch.dtype) -> None:
    images = draw(1, 8, 4, 4, dtype=dtype)
    images[0, 2, 1, 1] = torch.copysign(torch.tensor(torch.nan), torch.tensor(sign))
    images[0, 3, 2, 2] = sign * torch.inf
    pooled = MaxPoolReLU()(images)
    assert pooled.isnan().nonzero().tolist() == [[0, 2, 0, 0]]
    expected = functional.relu(functional.max_pool2d(images, 2))
    assert torch.equal(pooled[0, 3], expected[0, 3])


def test_gradients_in_another_order_are_taken() -> None:
    images = draw(2, 4, 6, 6).requires_grad_()
    gradient = draw(2, 4, 3, 3, memory_format=torch.contiguous_format)
    MaxPoolReLU()(images).backward(gradient)
    other = images.detach().clone().requires_grad_()
    functional.relu(functional.max_pool2d(other, 2)).backward(gradient)
    assert images.grad is not None
    assert other.grad is not None
    assert torch.equal(images.grad, other.grad)


def test_where_no_folder_takes_the_compiled_code_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_really = numba.njit

    def njit(*arguments: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_really(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert numba_pooling._compile(lambda a, b: a + b)(2, 3) == 5
