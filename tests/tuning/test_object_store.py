"""The images for workers: on one machine the name of a file, for other hosts the images. Hosts are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from bloodtune.data.dataset import load_dataset
from bloodtune.data.mapped_images import MappedSplit
from bloodtune.data.npz import Split
from bloodtune.tuning.object_store import put_split, send_split
from data_fixtures import make_arrays, save
from engine_fixtures import make_split

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def train(tmp_path: Path) -> Split:
    return load_dataset(str(save(tmp_path / "cells.npz", make_arrays()))).train


def play_hosts(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeManagerAddress": address} for address in addresses])
    monkeypatch.setattr(ray, "put", lambda value: value)


def test_on_a_ray_that_no_other_host_can_join_workers_map_the_file(
    train: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_hosts(monkeypatch, "127.0.0.1")
    assert send_split(train) is train
    assert isinstance(put_split(train, 5), MappedSplit) and len(put_split(train, 5).labels) == 5


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["127.0.0.1", "10.0.0.2"]])
def test_other_hosts_get_the_images(train: Split, monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    play_hosts(monkeypatch, *addresses)
    sent = send_split(train)
    assert type(sent) is Split and sent.images.tolist() == train.images.tolist()
    assert put_split(train, 5).images.tolist() == train.images[:5].tolist()


def test_images_in_memory_are_sent_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    play_hosts(monkeypatch, "127.0.0.1")
    split = make_split(9)
    assert send_split(split) is split
    assert put_split(split, 5).images.tolist() == split.images[:5].tolist()
