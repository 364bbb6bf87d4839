"""Hosts that come and go while a search runs on a real cluster."""

from __future__ import annotations

import time

import pytest

from cluster_fixtures import HEAD, SPARE, WORKER, Cluster, ClusterSearch
from fault_fixtures import GetRow

pytestmark = pytest.mark.cluster


def test_hosts_that_come_are_cut_off_and_die(cluster: Cluster, search: ClusterSearch, row: GetRow) -> None:
    search.budget = 90
    search.begin()
    search.wait_for(lambda: search.trials() > 0)

    added = row("host added to a cluster while a search runs")
    cluster.add(SPARE)
    added.seconds.append(search.wait_for(lambda: cluster.trains(SPARE)))
    added.times += 1
    assert added.seconds[-1] < 30

    cut = row("host cut off the network for a minute")
    cluster.hosts.cut(WORKER)
    seen, began = search.trials(), time.monotonic()
    search.wait_for(lambda: search.trials() > seen + 2)
    search.wait_for(lambda: time.monotonic() > began + 60)
    cluster.hosts.join(WORKER)
    cut.seconds.append(search.wait_for(lambda: cluster.trains(WORKER)))
    cut.times += 1

    killed = row("host killed")
    cluster.hosts.kill(WORKER)
    cluster.hosts.boot(WORKER)
    killed.seconds.append(search.wait_for(lambda: cluster.trains(WORKER)))
    killed.times += 1

    assert search.end() == 0, search.said
    search.check(killed)


def test_head_killed_and_the_cluster_brought_up_again(cluster: Cluster, search: ClusterSearch, row: GetRow) -> None:
    killed = row("head killed, cluster brought up again, then --resume")
    search.begin()
    search.wait_for(lambda: search.trials() > 4)
    cluster.hosts.kill(HEAD)
    search.end()
    killed.times += 1
    began = time.monotonic()
    cluster.hosts.boot(HEAD)
    cluster.up()
    seen = search.trials()
    search.begin()
    search.wait_for(lambda: search.trials() > seen)
    killed.seconds.append(time.monotonic() - began)
    assert search.end() == 0, search.said
    search.check(killed)
