"""Faults of a search on one machine: after each it has all of its trials, each once, and can be summarized.

`make test-faults` runs these and writes the table in docs/reliability.md. What is hit, and when, is drawn from seeds.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, FAILED
from bloodtune.tuning.trial_queue import RETRIES
from command_fixtures import SUMMARIZE, run_command
from fault_fixtures import QUICKEST, GetRow, Search, fill_disk, small_disk, write_inputs
from machine_needs import MOUNTS
from run_fixtures import write_data, write_recipe

pytestmark = pytest.mark.faults
MACHINE_NEEDS = MOUNTS


def write_large_recipe(folder: Path) -> None:
    """Write a recipe of two configurations: a small network, and one of 2 GB that takes three times that to train."""
    text = write_recipe(folder, sampler="enqueued").read_text()
    layers = "hidden_layers = 8\nhidden_size = 8192"
    text = text.replace("hidden_layers = 1\nhidden_size = 32", layers).replace("choices = [1]\n", "choices = [1, 8]\n")
    (folder / "faults.toml").write_text(text.replace("high = 64", "high = 8192"))


def test_workers_killed_in_the_middle_of_an_epoch(search: Search, row: GetRow) -> None:
    kills, draw = row("worker killed with -9 in the middle of an epoch"), random.Random(0)
    search.budget = 360
    search.begin()
    search.wait_for(lambda: search.epochs() > 2)
    for _ in range(40):
        search.wait_for(lambda: len(search.workers()) == 2, extend=True)
        time.sleep(draw.uniform(0.0, 1.0))
        while not (before := search.workers()):
            search.wait_for(lambda: bool(search.workers()), extend=True)
        victim = draw.choice(before)
        psutil.Process(victim).kill()
        kills.times += 1
        is_replaced = lambda: len(set(search.workers()) - {victim}) == 2  # noqa: B023, E731
        kills.seconds.append(search.wait_for(is_replaced, extend=True))
    assert search.end() == 0, search.said
    search.check(kills)
    retried = sum(record.retries for record in search.run.trials())
    assert 20 <= retried <= 40, "a worker may have been hit between two trials"
    assert all(record.state != FAILED or record.retries == RETRIES for record in search.run.trials())


def test_epochs_after_a_checkpoint_are_trained_again_and_counted(tmp_path: Path, row: GetRow) -> None:
    kills = row("worker killed with -9 long after a checkpoint")
    # Epochs of about a second: those after the rung at 3 are reported every two seconds, without a checkpoint.
    search = Search(write_inputs(tmp_path, images=12_000), budget=9, flags="--workers 1 --checkpoint-every 1h")
    search.begin()
    search.wait_for(lambda: search.epochs() > 9)  # past the first rung
    search.wait_for(lambda: 3 < search.run.curves().epoch.max() < 9)
    (victim,) = search.workers()
    psutil.Process(victim).kill()
    kills.times += 1
    kills.seconds.append(search.wait_for(lambda: len(set(search.workers()) - {victim}) == 1))
    assert search.end() == 0, search.said
    search.check(kills)
    provenance = search.run.read_json("provenance.json")
    assert provenance["discarded_epochs"] > 0
    assert provenance["epochs_spent"] == len(search.run.curves()) + provenance["discarded_epochs"]


@pytest.mark.parametrize(
    ("number", "times", "fault"),
    [
        (signal.SIGKILL, 20, "driver killed with -9 at a random moment, then --resume"),
        (signal.SIGINT, 5, "Ctrl-C at a random moment, then --resume"),
        (signal.SIGTERM, 5, "SIGTERM at a random moment, then --resume"),
    ],
)
def test_driver_ended_at_random_moments(
    search: Search, row: GetRow, number: signal.Signals, times: int, fault: str
) -> None:
    ends, draw = row(fault), random.Random(number)
    search.budget = 15 * times  # more than are done between the ends: at most 12, and those that end meanwhile
    search.begin()
    search.wait_for(lambda: search.run.path.exists())
    for _ in range(times):
        # From the middle of the start to some trials later.
        search.wait_for(lambda: search.run.path.exists())
        moment, trials = time.monotonic() + draw.uniform(0.0, 9.0), search.trials() + 12
        search.wait_for(lambda: time.monotonic() >= moment or search.trials() >= trials)  # noqa: B023
        search.kill(number)
        code = search.end()
        assert code == (-9 if number == signal.SIGKILL else 130), search.said
        ends.times += 1
        began, epochs = time.monotonic(), search.epochs()
        search.begin()
        search.wait_for(lambda: search.epochs() > epochs)  # noqa: B023
        ends.seconds.append(time.monotonic() - began)
    assert search.end() == 0, search.said
    search.check(ends)


def test_raylet_killed(search: Search, row: GetRow) -> None:
    kills = row("raylet killed with -9, then --resume")
    for _ in range(2):
        search.begin()
        seen = search.trials()
        search.wait_for(lambda: search.trials() > seen + 3)  # noqa: B023
        assert search.process is not None
        children = psutil.Process(search.process.pid).children()
        next(child for child in children if child.name() == "raylet").kill()
        assert search.end() != 0, "it must not hang"
        kills.times += 1
    began = time.monotonic()
    search.finish()
    kills.seconds.append(time.monotonic() - began)
    search.check(kills)


def test_disk_full(tmp_path: Path, row: GetRow) -> None:
    full = row("disk full on the run directory, then room made and --resume")
    with small_disk(tmp_path / "disk", megabytes=256) as disk:
        search = Search(write_inputs(disk))
        for _ in range(3):
            search.begin()
            seen = search.epochs()
            search.wait_for(lambda: search.epochs() > seen + 5)  # noqa: B023
            ballast = fill_disk(disk)
            assert search.end() == 1
            assert "No space left on device" in search.said
            assert "Traceback" not in search.said
            full.times += 1
            ballast.unlink()
        search.finish()
        fill_disk(disk)
        code, _, said = run_command(disk, f"{search.run.path} {QUICKEST}", SUMMARIZE)
        assert (code, "Traceback" in said) == (1, False)
        assert "No space left on device; finished retrainings are kept" in said
        full.times += 1
        ballast.unlink()
        search.check(full)


def test_storage_that_fails_for_a_while(tmp_path: Path, row: GetRow) -> None:
    fails = row("storage that fails for a while")
    with small_disk(tmp_path / "kept", megabytes=64) as kept:
        search = Search(write_inputs(tmp_path), flags=f"--workers 2 --storage {kept}")
        ballast = fill_disk(kept)
        search.begin()
        search.wait_for(lambda: search.trials() > 3)
        ballast.unlink()
        assert search.end() == 0, search.said
        fails.times += 1
        assert f"{kept} fails: " in search.said
        assert f"{kept} is up to date again" in search.said
        assert (kept / "broken" / "trials.csv").read_bytes() == (search.run.path / "trials.csv").read_bytes()
    search.check(fails)


@pytest.mark.parametrize("damage", ["truncated", "garbled", "missing"])
@pytest.mark.parametrize(
    "name", ["trials.csv", "curves.csv", "proposals.jsonl", "study.journal", "checkpoint", "best.json"]
)
def test_damaged_files(search: Search, row: GetRow, name: str, damage: str) -> None:
    found, draw = (
        row("record, checkpoint or study found truncated, garbled or missing at --resume"),
        random.Random(name),
    )
    search.budget = 8
    write_inputs(search.folder, images=8000)  # epochs of half a second, so that trials leave checkpoints
    search.begin()
    search.wait_for(lambda: search.trials() >= 3 and any((search.run.path / "checkpoints").glob("*.checkpoint")))
    search.kill()
    search.end()
    checkpoints = (search.run.path / "checkpoints").glob("*.checkpoint")
    file = next(checkpoints) if name == "checkpoint" else search.run.path / name
    if not file.exists() or (name == "trials.csv" and damage == "missing"):
        pytest.skip("without trials.csv there is no run")
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: draw.randrange(len(content) // 2, len(content))])
    else:
        place = draw.randrange(len(content) // 3, len(content) - 40)
        file.write_bytes(content[:place] + draw.randbytes(40) + content[place + 40 :])
    found.times += 1
    began = time.monotonic()
    search.finish()
    found.seconds.append(time.monotonic() - began)
    search.check(found, in_order=name != "proposals.jsonl")


def test_a_trial_that_diverges(tmp_path: Path, row: GetRow) -> None:
    write_data(tmp_path)
    write_recipe(tmp_path, sampler="enqueued", first_rate=100.0)
    code, _, said = run_command(tmp_path, "--recipe enqueued.toml --data tiny0.npz --name bad --workers 2 --budget 2")
    assert code == 0, said
    records = {record.trial: record for record in RunDirectory.open(tmp_path / "runs" / "bad").trials()}
    assert [records[trial].state for trial in (0, 1)] == [FAILED, COMPLETE]
    assert (records[0].retries, "loss is" in records[0].message) == (0, True)
    row("trial that diverges").times += 1


def test_a_trial_that_raises(tmp_path: Path, row: GetRow) -> None:
    search = Search(write_inputs(tmp_path), budget=2, flags="--workers 1")
    write_large_recipe(tmp_path)
    search.begin()
    search.wait_for(lambda: len(search.workers()) == 1)
    worker = psutil.Process(search.workers()[0])
    worker.rlimit(psutil.RLIMIT_AS, (worker.memory_info().vms + 2**30,) * 2)  # the small one fits, 2 GB do not
    assert search.end() == 0, search.said
    raised = row("trial that raises")
    search.check(raised)
    records = search.records()
    assert [records[trial].state for trial in (0, 1)] == [COMPLETE, FAILED]
    assert (records[1].retries, "memory" in records[1].message) == (0, True)
    raised.times += 1


def test_workers_that_hang(search: Search, row: GetRow) -> None:
    hangs = row("worker that hangs: --epoch-limit ends it")
    search.flags = "--workers 2 --epoch-limit 6s"
    search.budget = 80
    search.begin()
    search.wait_for(lambda: search.trials() > 1)
    for _ in range(3):
        search.wait_for(lambda: len(search.workers()) == 2, extend=True)
        victim = search.workers()[0]
        psutil.Process(victim).suspend()
        hangs.times += 1
        hangs.seconds.append(search.wait_for(lambda: not psutil.pid_exists(victim)))  # noqa: B023
    assert search.end() == 0, search.said
    search.check(hangs)
    messages = [record.message for record in search.run.trials() if record.state == FAILED]
    assert messages == ["an epoch took longer than --epoch-limit, 6 s"] * len(messages)
    assert 1 <= len(messages) <= 3


def test_a_trial_that_eats_memory(tmp_path: Path, row: GetRow, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 1.5e9) / memory.total
    search = Search(write_inputs(tmp_path), budget=2, flags="--workers 1")
    write_large_recipe(tmp_path)
    eaten = row("trial that eats memory until it is killed")
    began = time.monotonic()
    with monkeypatch.context() as limits:
        limits.setenv("RAY_memory_usage_threshold", f"{threshold:.4f}")
        limits.setenv("RAY_memory_monitor_refresh_ms", "50")
        search.finish()
    eaten.seconds.append((time.monotonic() - began) / (RETRIES + 1))
    search.check(eaten)
    records = search.records()
    assert records[0].state == COMPLETE
    assert (records[1].state, records[1].retries) == (FAILED, RETRIES)
    assert records[1].message == "the worker process died, 4 times"
    eaten.times += RETRIES + 1


def test_two_searches_on_one_run(search: Search, row: GetRow) -> None:
    refused = row("second search started on a run in use")
    search.budget = 80  # lasts longer than the three refusals
    search.begin()
    search.wait_for(lambda: search.epochs() > 0)
    for arguments in ("--resume broken", "--recipe faults.toml --data data.npz --name broken", "--resume latest"):
        code, _, said = run_command(search.folder, f"{arguments} --workers 1")
        assert code == 2
        assert len(said.splitlines()) == 1
        refused.times += 1
    assert search.end() == 0, search.said
    search.check(refused)
