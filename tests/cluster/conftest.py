"""A cluster to break, and a search on it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from cluster_fixtures import Cluster, ClusterSearch
from fault_fixtures import row, rows, write_inputs
from host_fixtures import running

__all__ = ["row", "rows"]

# Only `make test-cluster` installs the clouds' stand-ins; without them pytest could not even read these tests.
collect_ignore_glob = [] if importlib.util.find_spec("moto") else ["test_*.py"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Give a running cluster of a head and a worker, and a spare host."""
    with running(3) as hosts:
        cluster = Cluster(hosts)
        cluster.up()
        yield cluster


@pytest.fixture
def search(cluster: Cluster) -> ClusterSearch:
    """Give a search that has not begun."""
    inputs = cluster.hosts.folder / "inputs"
    inputs.mkdir()
    return ClusterSearch(cluster, write_inputs(inputs, images=12000))
