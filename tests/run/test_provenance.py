"""The provenance of a result: software, machine, data and time."""

import dataclasses
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest

from bloodtune import __version__
from bloodtune.data.audit import Audit
from bloodtune.data.dataset import Dataset
from bloodtune.run import provenance
from engine_fixtures import make_split


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(
        title="tiny",
        source="/data/tiny.npz",
        md5="0" * 32,
        synthetic=False,
        fell_back=False,
        class_names=("a", "b", "c"),
        train=make_split(12),
        val=make_split(6),
        split_sizes={"train": 12, "val": 6, "test": 6},
        class_counts={"train": (4, 4, 4), "val": (2, 2, 2), "test": (2, 2, 2)},
        audit=Audit({"train": 1, "train_test": 0}),
    )


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the module into a checkout of its own with one commit, far from any setting of this machine."""
    for name, value in {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "checkout" / "bloodtune" / "run" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("# the module\n")
    monkeypatch.setattr(provenance, "__file__", str(file))
    return tmp_path / "checkout"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-gpg-sign", "--message", "one")
    return git(folder, "rev-parse", "HEAD")


def test_data_is_described_without_its_images(dataset: Dataset) -> None:
    described = provenance.describe_data(dataset)
    assert set(described) == {field.name for field in dataclasses.fields(Dataset)} - {"train", "val", "rows", "groups"}
    read = json.loads(json.dumps(described))
    assert (read["title"], read["md5"], read["source"]) == ("tiny", "0" * 32, "/data/tiny.npz")
    assert read["class_counts"]["train"] == [4, 4, 4]
    assert read["split_sizes"] == dataset.split_sizes
    assert Audit.from_mapping(read["audit"]) == dataset.audit


def test_software_names_command_versions_and_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bloodtune/search.py", "--budget", "3"])
    monkeypatch.setattr(provenance, "git_commit", lambda: "abc")
    software = provenance.describe_software()
    assert software["command"] == "python -m bloodtune.search --budget 3"
    assert software["git_commit"] == "abc"
    versions = software["versions"]
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["bloodtune"] == __version__
    for package in ("ray", "torch", "optuna", "medmnist", "numpy", "pandas", "scikit-learn"):
        assert versions[package] == metadata.version(package)
    json.dumps(software)


def test_a_command_can_be_pasted_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["search.py", "--data", "my cells.npz", "--name", "it's"])
    command = provenance.describe_software()["command"]
    echoed = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True)
    assert echoed.stdout.splitlines() == ["python", "-m", "bloodtune.search", *sys.argv[1:]]


def test_the_commit_is_that_of_the_checkout(checkout: Path) -> None:
    expected = commit(checkout)
    assert re.fullmatch(r"[0-9a-f]{40}", expected)
    assert provenance.git_commit() == expected
    git(checkout, "tag", "v1")
    assert provenance.git_commit() == expected


def test_the_commit_says_where_files_differ_from_it(checkout: Path) -> None:
    expected = commit(checkout)
    (checkout / "bloodtune" / "run" / "provenance.py").write_text("# changed\n")
    assert provenance.git_commit() == f"{expected}-dirty"


def test_outside_of_a_checkout_there_is_no_commit(checkout: Path) -> None:
    assert provenance.git_commit() is None
    # A repository further up is somebody else's.
    commit(checkout.parent)
    assert provenance.git_commit() is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(checkout)
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_commit() is None


def test_the_machine_is_that_of_all_hosts() -> None:
    resources = {"CPU": 16.0, "GPU": 2.0, "memory": 1e9, "node:127.0.0.1": 1.0, "accelerator_type:H100": 2.0}
    machine = provenance.describe_machine(resources)
    assert (machine["cpus"], machine["gpus"], machine["accelerators"]) == (16.0, 2.0, ["H100"])
    assert machine["processor"]


def test_a_machine_without_a_gpu_says_so() -> None:
    machine = provenance.describe_machine({"CPU": 2.0})
    assert (machine["cpus"], machine["gpus"], machine["accelerators"]) == (2.0, 0, [])


def test_now_is_utc_to_the_second() -> None:
    now = datetime.fromisoformat(provenance.now())
    assert now.utcoffset() == timedelta(0)
    assert now.microsecond == 0
    assert abs(datetime.now(now.tzinfo) - now) < timedelta(seconds=5)
