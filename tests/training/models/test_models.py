"""The four families: shapes, sizes and what each of them starts from."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from bloodtune.space.configuration import Configuration
from bloodtune.space.families import FAMILIES
from bloodtune.training.models import Normalization, build_network
from bloodtune.training.models.cpu_layers import Convolution, Dropout, Flatten, MeanPool
from bloodtune.training.models.residual import ResidualBlock
from engine_fixtures import make_configuration

PUBLISHED: dict[str, dict[str, Any]] = {
    "mlnn": {"hidden_layers": 2, "hidden_size": 1180, "dropout": 0.2},
    "cnn": {"width": 32, "dropout": 0.2},
    "lightweight": {"width": 16},
}


def build(
    configuration: Configuration, *, size: int = 28, channels: int = 3, classes: int = 8, seed: int = 0
) -> nn.Sequential:
    torch.manual_seed(seed)
    statistics = torch.full((channels,), 100.0), torch.full((channels,), 50.0)
    return build_network(configuration, size=size, classes=classes, mean=statistics[0], deviation=statistics[1])


def draw(count: int, *, size: int = 28, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [2, 8, 11])
@pytest.mark.parametrize("size", [28, 64])
def test_logits_have_one_column_a_class(family: str, channels: int, classes: int, size: int) -> None:
    network = build(make_configuration(family), size=size, channels=channels, classes=classes)
    logits = network(draw(4, size=size, channels=channels))
    assert logits.shape == (4, classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert (logits[0] != logits[1]).all()


@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual", "resnet"])
@pytest.mark.parametrize("size", [128, 224])
def test_large_images_are_taken_too(family: str, size: int) -> None:
    assert build(make_configuration(family), size=size).eval()(draw(2, size=size)).shape == (2, 8)


@pytest.mark.parametrize("family", ["cnn", "lightweight", "residual"])
def test_the_size_of_the_images_leaves_the_number_of_parameters_as_it_is(family: str) -> None:
    counts = {count_parameters(build(make_configuration(family), size=size)) for size in (12, 28, 30, 32, 64, 224)}
    assert len(counts) == 1


def test_parameters_of_the_published_mlnn() -> None:
    inputs = 28 * 28 * 3
    expected = (inputs * 1180 + 1180) + (1180 * 1180 + 1180) + (1180 * 8 + 8)
    assert expected == 4_179_568
    assert count_parameters(build(make_configuration("mlnn", **PUBLISHED["mlnn"]))) == expected


def test_parameters_of_the_published_cnn() -> None:
    convolutions = (3 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 9 * 128 + 128)
    head = (128 * 3 * 3 * 256 + 256) + (256 * 128 + 128) + (128 * 8 + 8)
    assert convolutions + head == 422_344
    assert count_parameters(build(make_configuration("cnn", **PUBLISHED["cnn"]))) == 422_344


def test_parameters_of_the_published_lightweight_network() -> None:
    # No bias before a norm, which has a scale and a shift a channel.
    widths = [3, 16, 16, 64, 64, 64]
    convolutions = sum(a * 9 * b + 2 * b for a, b in itertools.pairwise(widths))
    head = (64 * 7 * 7 * 128 + 128) + (128 * 128 + 128) + (128 * 8 + 8)
    assert convolutions + head == 505_208
    assert count_parameters(build(make_configuration("lightweight", **PUBLISHED["lightweight"]))) == 505_208


def test_the_residual_network_stays_below_its_limit() -> None:
    counts = [count_parameters(build(make_configuration("residual", width=width))) for width in (16, 32, 48)]
    assert counts == sorted(counts)
    assert counts[-1] < 600_000


@pytest.mark.parametrize("family", FAMILIES)
def test_width_decides_about_the_number_of_parameters(family: str) -> None:
    small, large = ({"hidden_size": 64}, {"hidden_size": 128}) if family == "mlnn" else ({"width": 8}, {"width": 16})
    network = build(make_configuration(family, **small))
    assert count_parameters(network) < count_parameters(build(make_configuration(family, **large)))


@pytest.mark.parametrize("layers", [1, 3])
def test_mlnn_has_as_many_hidden_layers_as_told(layers: int) -> None:
    network = build(make_configuration("mlnn", hidden_layers=layers, hidden_size=16))
    assert [layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)] == [16] * layers + [8]


def test_convolutions_of_the_papers_have_their_channels() -> None:
    def channels(family: str) -> list[int]:
        network = build(make_configuration(family, **PUBLISHED[family]))
        return [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]

    assert channels("cnn") == [32, 64, 128]
    assert channels("lightweight") == [16, 16, 64, 64, 64]


@pytest.mark.parametrize(("family", "expected"), [("cnn", [28, 14, 7]), ("lightweight", [28, 28, 14, 14, 14])])
def test_convolutions_of_the_papers_see_their_sizes(family: str, expected: list[int]) -> None:
    network, seen = build(make_configuration(family)), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape[2], output.shape[2])))
    network(draw(2))
    assert seen == [(size, size) for size in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_where_told_and_off_in_evaluation(family: str) -> None:
    network, images = build(make_configuration(family, dropout=0.5)), draw(2)
    drops = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert drops
    assert set(drops) == {0.5}
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_dropout_follows_each_hidden_layer_of_the_papers_nets() -> None:
    for family, count in (("mlnn", 2), ("cnn", 2)):
        layers = list(build(make_configuration(family, **PUBLISHED[family]))[1])
        at = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
        assert len(at) == count
        for number in at:
            assert isinstance(layers[number - 1], nn.ReLU) and isinstance(layers[number - 2], nn.Linear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(1001, 333, dtype=dtype, requires_grad=True)  # no multiple of the four values a number serves
    dropped = Dropout(p)(values)
    assert dropped.dtype == dtype
    assert dropped.eq(0).float().mean().item() == pytest.approx(p, abs=0.004)
    assert dropped.float().mean().item() == pytest.approx(1, abs=0.015)
    # No pattern along rows or columns: what is dropped says nothing about the neighbours.
    mask = dropped.detach().eq(0).float() - p
    for lag in (1, 2, 3, 4, 333):
        assert (mask.view(-1)[:-lag] * mask.view(-1)[lag:]).mean().abs() < 0.003
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_everything(p: float, expected: float) -> None:
    assert torch.equal(Dropout(p)(torch.ones(5)), torch.full((5,), expected))
    assert torch.equal(Dropout(p).eval()(torch.ones(5)), torch.ones(5))


def test_flatten_and_mean_pool_neither_copy_nor_hand_down_another_order() -> None:
    values = torch.randn(4, 6, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    flat, mean = Flatten()(values), MeanPool()(values)
    assert flat.data_ptr() == values.data_ptr()
    assert torch.equal(flat.view(4, 5, 5, 6).permute(0, 3, 1, 2), values)
    torch.testing.assert_close(mean, values.mean((2, 3)))
    (gradient,) = torch.autograd.grad(flat.square().sum(), values)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(mean.square().sum(), values)
    assert gradient.stride()[2:] == (0, 0), "one value a channel, not written out"
    (gradient,) = torch.autograd.grad(MeanPool()(values).sum(), values)
    torch.testing.assert_close(gradient, torch.full_like(values, 1 / 25))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("count", "size", "beside"), [(8, 7, True), (10, 5, True), (9, 7, False), (8, 8, False), (4, 40, False)]
)
def test_a_convolution_has_the_gradients_of_pytorchs_own(bias: bool, count: int, size: int, beside: bool) -> None:
    torch.manual_seed(0)
    layer, plain = Convolution(3, 5, bias=bias), nn.Conv2d(3, 5, 3, padding=1, bias=bias)
    plain.load_state_dict(layer.state_dict())
    images = torch.randn(count, 3, size, size).to(memory_format=torch.channels_last)
    gradient = torch.randn(count, 5, size, size)
    found = []
    for module in (layer, plain):
        inputs = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            output = module(inputs)
        assert output.dtype == torch.bfloat16
        assert ("SideBySide" in output.grad_fn.name()) == (beside and module is layer)
        output.float().backward(gradient)
        found.append([output, inputs.grad, *(parameter.grad for parameter in module.parameters())])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=0.02, atol=0.02 * theirs.abs().max().item())


def test_a_convolution_is_pytorchs_own_where_nothing_is_rounded_or_trained() -> None:
    layer, images = Convolution(3, 5), torch.randn(8, 3, 7, 7)
    assert "SideBySide" not in layer(images).grad_fn.name()
    with torch.autocast("cpu", torch.bfloat16):
        assert "SideBySide" not in layer.eval()(images).grad_fn.name()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalization_is_the_pixel_minus_mean_over_deviation(dtype: torch.dtype) -> None:
    mean, deviation = torch.tensor([10.0, 100.0, 200.0]), torch.tensor([1.0, 50.0, 20.0])
    images = draw(5, size=6).to(dtype)
    found = Normalization(mean, deviation)(images)
    assert found.dtype == torch.float32
    for channel in range(3):
        expected = (images[:, channel].double() - mean[channel].item()) / deviation[channel].item()
        torch.testing.assert_close(found[:, channel].double(), expected, rtol=1e-6, atol=1e-6)


def test_normalization_is_part_of_the_network_but_not_trained() -> None:
    network = build(make_configuration("mlnn"), channels=1)
    state = network.state_dict()
    assert state["0.mean"].flatten().tolist() == [100.0]
    assert state["0.deviation"].flatten().tolist() == [50.0]
    assert {"0.mean", "0.deviation"}.isdisjoint(name for name, _ in network.named_parameters())
    images = draw(4, channels=1)
    torch.testing.assert_close(network(images), network[1]((images.float() - 100) / 50))


def test_minmax_normalization_takes_black_to_minus_one_and_white_to_one() -> None:
    network = build(make_configuration("mlnn", normalization="minmax"))
    pixels = torch.tensor([0, 255]).view(2, 1, 1, 1).expand(2, 3, 28, 28)
    assert network[0](pixels)[:, :, 0, 0].tolist() == [[-1.0] * 3, [1.0] * 3]


def test_a_residual_block_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    features = torch.rand(4, 8, 7, 7)
    block = ResidualBlock(8)
    torch.testing.assert_close(block(features), features)
    block.eval()
    torch.testing.assert_close(block(features), features)


def test_a_residual_block_learns_to_be_something_else() -> None:
    torch.manual_seed(0)
    features, block = torch.rand(4, 8, 7, 7), ResidualBlock(8)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(2):  # the first step moves the norm off zero, the second the convolutions too
        before = {name: parameter.clone() for name, parameter in block.named_parameters()}
        block(features).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, parameter in block.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name for name, parameter in block.named_parameters() if parameter.ndim == 4} <= moved
    assert not torch.allclose(block(features), features, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_decides_about_the_weights(family: str) -> None:
    first, same, other = (build(make_configuration(family), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
