"""Which Ray a search uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bloodtune.tuning.ray_cluster import resolve_address


@pytest.mark.usefixtures("home")
def test_a_search_never_joins_a_cluster_that_it_was_not_told_of() -> None:
    assert resolve_address(None) == "local"


def test_the_head_of_a_ray_up_cluster_is_joined_without_asking(home: Path) -> None:
    home.mkdir()
    (home / "ray_bootstrap_config.yaml").touch()
    assert resolve_address(None) == "auto"
    assert resolve_address("10.0.0.1:6379") == "10.0.0.1:6379"


@pytest.mark.usefixtures("home")
def test_ray_address_counts_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert resolve_address(None) == "10.0.0.2:6379"
