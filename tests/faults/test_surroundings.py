"""Searches where Ray or the file system is not as usual: each ends well, or says in one line what to do.

As root: some cases mount small or read-only file systems, in a mount namespace of their own.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bloodtune.command_line import ENDING
from bloodtune.run.directory import RunDirectory
from command_fixtures import ROOT, SUMMARIZE, fill
from command_fixtures import SEARCH as SEARCH_COMMAND
from machine_needs import NAMESPACES

pytestmark = pytest.mark.faults
MACHINE_NEEDS = NAMESPACES

SEARCH = """
from bloodtune import run_search

def search(name, **options):
    options = {"budget": 2, "workers": 1, "max_epochs": 1, "recipe": "tpe.toml", "data": "tiny0.npz"} | options
    return run_search(name=name, **options)
"""

# How a program of the user's runs the search.
PROGRAMS = {
    "in a thread": "import threading; it = threading.Thread(target=search, args=['one']); it.start(); it.join()",
    "in an event loop": "import asyncio\nasync def main(): search('one')\nasyncio.run(main())",
    "twice": "search('zero'); search('one')",
    "on the caller's Ray": """
import ray
ray.init(address="local", num_cpus=1, log_to_driver=False, logging_level="ERROR")
search("one")
assert ray.is_initialized()
""",
    "two at a time": """
import threading
from bloodtune.errors import InputError
refused = []
def try_search(name):
    try:
        search(name)
    except InputError as error:
        refused.append(str(error))
threads = [threading.Thread(target=try_search, args=[name]) for name in ("one", "one")]
for one in threads: one.start()
for one in threads: one.join()
assert len(refused) == 1, refused
""",
}

# Commands of a shell before the search, in a mount namespace of its own.
MACHINES = {
    "/dev/shm of 64 MB": "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    "/tmp/ray that is read-only": "mkdir -p /tmp/ray; mount -t tmpfs -o ro tmpfs /tmp/ray",
    "/tmp that is full": "mount -t tmpfs -o size=1m tmpfs /tmp; head -c 1m /dev/zero > /tmp/full",
    "long TMPDIR": "export TMPDIR=$PWD/$(printf 'x%.0s' $(seq 150)); mkdir $TMPDIR",
    "variables left by Slurm": "export ROCR_VISIBLE_DEVICES=0 GPU_DEVICE_ORDINAL=0",
    "resources left by a cluster": """export RAY_OVERRIDE_RESOURCES='{"GPU": 1}'""",
    "tokens switched off": "export RAY_AUTH_MODE=disabled",
    "a proxy for all": "unset no_proxy NO_PROXY; export {http,https,all,grpc}_proxy=http://10.255.255.1:3128",
    "few open files": "ulimit -n 256",
    "a TMPDIR that is gone": "export TMPDIR=/nowhere RAY_TMPDIR=/nowhere",
    "messages that nobody reads": "exec 2> >(exec true)",
    "a home that is read-only": "export HOME=$PWD/home; mkdir $HOME; mount -t tmpfs -o ro tmpfs $HOME",
}

# Operations that a file system lacks, for the search and for the summary.
LACKING = """
import errno, fcntl, os, runpy, sys

def lacks(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))
    return fail

fcntl.flock, os.symlink, os.link, os.fsync = map(lacks, (errno.ENOSYS, errno.EPERM, errno.EPERM, errno.EINVAL))
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(folder: Path, command: list[str], **environment: str) -> tuple[int, str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


def check(folder: Path, code: int, err: str) -> None:
    assert code == 0, err
    assert "Traceback" not in err
    assert len(RunDirectory.open(folder / "runs" / "one").trials()) == 2


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder, not below /tmp, whose name has blanks and characters that URLs and shells read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place) / "Zellen ü %20 #1 'x'\nand more"
        folder.mkdir()
        yield fill(folder)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_searches(folder: Path, program: str) -> None:
    check(folder, *run(folder, [sys.executable, "-c", SEARCH + PROGRAMS[program]]))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_where_a_search_runs(folder: Path, machine: str) -> None:
    (folder / "search.py").write_text(f"{SEARCH}search('one')")
    script = f"{MACHINES[machine]}\nexec {sys.executable} search.py"
    check(folder, *run(folder, ["unshare", "--mount", "bash", "-c", script]))


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_while_ray_starts_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": place}
        command = [sys.executable, *SEARCH_COMMAND, "--recipe", "tpe.toml", "--data", "tiny0.npz"]
        process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True)
        while not any(Path(place).glob("ray-*/session_*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.communicate(timeout=60)[1] == f"bloodtune: stopped by {number.name}\n"
        assert process.returncode == 130
        assert not list(Path(place).glob("ray-*"))
        assert not (folder / "runs").exists()


def test_a_search_whose_terminal_is_closed_stops_cleanly(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": place}
        flags = "--recipe tpe.toml --data tiny0.npz --budget 1000 --workers 1 --name one"
        child, terminal = pty.fork()
        if not child:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *SEARCH_COMMAND, *flags.split()], variables)
        while not (folder / "runs" / "one" / "curves.csv").exists():
            os.read(terminal, 65536)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
        assert not list(Path(place).glob("ray-*"))
    assert RunDirectory.open(folder / "runs" / "one").read_json("provenance.json")["ended"]


def test_under_uv_run_workers_start_as_usual(folder: Path) -> None:
    (folder / "search.py").write_text(f"{SEARCH}search('one')")
    # A parent whose command line starts with `uv run` is what Ray looks for.
    (folder / "run").write_text(
        f"import subprocess\nraise SystemExit(subprocess.call([{sys.executable!r}, 'search.py']))"
    )
    check(folder, *run(folder, ["bash", "-c", f"exec -a uv {sys.executable} run"]))


def test_a_file_system_without_locks_links_and_syncs(folder: Path) -> None:
    lacking = [sys.executable, "-c", LACKING]
    (folder / "search.py").write_text(f"{SEARCH}search('one')")
    code, err = run(folder, [*lacking, str(folder / "search.py")])
    check(folder, code, err)
    assert "runs/one: no locks on this file system; .in-use marks the run as in use" in err
    assert (folder / "runs" / "latest").read_text() == "one\n"
    code, err = run(folder, [*lacking, *SUMMARIZE, "--quick", "--top", "1", "--epochs", "1"])
    assert code == 0, err
    assert (folder / "results" / "latest").read_text() == "one-quick\n"
