"""Networks of a user's own: how their functions are called, and errors that name the function in one line."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from bloodtune.space.configuration import Configuration
from bloodtune.space.parameter import combinations
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.models import build_network, check_own_families
from bloodtune.training.models.user_networks import source_digest, sources_to_send
from engine_fixtures import make_configuration
from error_fixtures import refusal

DATA = {"channels": 3, "classes": 8, "size": 12}


def own(name: str, **values: Any) -> Configuration:
    given = {"family": f"own_networks:{name}", "optimizer": "adam", "learning_rate": 0.001, **values}
    return Configuration.from_mapping(given)


def build(configuration: Configuration) -> torch.nn.Sequential:
    statistics = torch.full((3,), 100.0)
    return build_network(configuration, size=12, classes=8, mean=statistics, deviation=statistics)


def check(configuration: Configuration) -> None:
    check_own_families([configuration], **DATA)


def test_a_function_gets_the_data_and_the_hyperparameters_that_the_recipe_names() -> None:
    network = build(own("any_options", width=8, dropout=0.5))
    assert network[1].options == {"channels": 3, "classes": 8, "size": 12, "width": 8, "dropout": 0.5}
    network = build(own("any_options", hidden_layers=2, hidden_size=64))
    assert network[1].options == {**DATA, "hidden_layers": 2, "hidden_size": 64, "dropout": 0.0}


def test_a_function_need_not_take_what_every_configuration_has() -> None:
    assert build(own("fixed"))(torch.zeros(2, 3, 12, 12)).shape == (2, 8)


def test_the_network_sees_normalized_images() -> None:
    network = build(own("small", width=4)).eval()
    images = torch.full((1, 3, 12, 12), 200.0)
    torch.testing.assert_close(network(images), network[1](torch.full((1, 3, 12, 12), 1.0)))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("nothing", {}, "module own_networks has no function 'nothing'"),
        ("NUMBER", {}, "module own_networks has no function 'NUMBER'"),
        ("raising", {}, "raising(channels=3) failed: ValueError: no network of 3 channels"),
        ("no_module", {}, "no_module(channels=3) returned str, expected torch.nn.Module"),
        ("small", {}, "small(channels=3, classes=8, dropout=0.0) failed: TypeError: small() missing 1 required "),
        ("fixed", {"width": 8}, "fixed(width=8, channels=3, classes=8) failed: TypeError: fixed() got an unexpected "),
        ("fixed", {"dropout": 0.2}, "fixed(dropout=0.2, channels=3, classes=8) failed: TypeError: fixed() got an "),
        ("ten_classes", {}, "its network maps images (2, 3, 12, 12) to (2, 10), expected (2, 8)"),
        ("grey", {}, "its network does not take images (2, 3, 12, 12): RuntimeError: "),
        ("Untrained", {}, "its network has no parameters to train"),
    ],
)
def test_a_network_that_cannot_be_used_is_an_error_in_one_line(name: str, values: dict[str, Any], message: str) -> None:
    assert refusal(lambda: check(own(name, **values))).startswith(f"family = 'own_networks:{name}': {message}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "{module} cannot be imported: ModuleNotFoundError: No module named '{module}'"),
        ("import nowhere", "{module} cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def f(:", "{module} cannot be imported: SyntaxError: "),
        ("raise RuntimeError('at import')", "{module} cannot be imported: RuntimeError: at import"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_in_one_line(
    source: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    module = f"broken_{abs(hash(request.node.name))}"
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    configuration = Configuration.from_mapping(own("f").to_mapping() | {"family": f"{module}:f"})
    assert refusal(lambda: check(configuration)).startswith(f"family = '{module}:f': {message.format(module=module)}")


def test_families_of_the_table_are_not_built_for_the_check() -> None:
    check_own_families([make_configuration("residual"), own("fixed")], channels=3, classes=8, size=12)
    check_own_families([make_configuration("residual")], channels=3, classes=8, size=1)


def test_the_source_of_a_network_has_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "digested_networks.py"
    file.write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = source_digest("digested_networks:f")
    assert first and source_digest("digested_networks:g") == first
    file.write_text("a = 2\n")
    assert source_digest("digested_networks:f") != first
    assert source_digest("cnn") == source_digest("not_there:f") == source_digest("not.there:f") == ""


def test_modules_that_are_not_installed_are_sent_to_other_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sent_networks.py").touch()
    (tmp_path / "sent_package").mkdir()
    (tmp_path / "sent_package" / "nets.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    families = ["cnn", "torch.nn:Sequential", "sent_networks:a", "sent_networks:b", "sent_package.nets:c", "gone:d"]
    assert sources_to_send(families) == [str(tmp_path / "sent_networks.py"), str(tmp_path / "sent_package")]


def test_the_network_of_the_docs_can_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "networks.md").read_text(encoding="utf-8")
    for kind, name in (("python", "cell_nets.py"), ("toml", "cells.toml")):
        first = re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        assert first and first[1].startswith(f"# {name}\n")
        (tmp_path / name).write_text(first[1])
    monkeypatch.syspath_prepend(tmp_path)
    recipe = load_recipe(str(tmp_path / "cells.toml"))
    for values in combinations(recipe.parameters):
        check_own_families([Configuration.from_mapping(values)], **DATA)
    counts = []
    for width in (8, 64):
        network = build(Configuration.from_mapping({**values, "width": width}))
        counts.append(f"{sum(parameter.numel() for parameter in network.parameters()):,}")
    assert f"{' to '.join(counts)} parameters" in recipe.parameters[1].source
