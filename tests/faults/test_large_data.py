"""A data set larger than the memory that a search may take. As root: memory is limited by a control group."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from bloodtune.run.directory import RunDirectory
from command_fixtures import ROOT, SEARCH, SUMMARIZE
from fault_fixtures import QUICKEST, RECIPE, small_disk
from machine_needs import LARGE_DATA, MEMORY_GROUPS

pytestmark = pytest.mark.faults
MACHINE_NEEDS = LARGE_DATA

SIZE = 256
COUNTS = {"train": 5_600, "val": 5_400, "test": 400}  # a validation image takes half the time of a training image
SEARCHED = (COUNTS["train"] + COUNTS["val"]) * SIZE * SIZE * 3  # 2.2 GB
LIMIT = 2 * 2**30  # bytes of everything that the search holds, pages of files too


@contextlib.contextmanager
def control_group(limit: int) -> Iterator[Path]:
    """Give a control group with that many bytes of memory."""
    first_version, second_version = MEMORY_GROUPS
    is_first_version = first_version.exists()
    group = (first_version if is_first_version else second_version) / f"bloodtune-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if is_first_version else "memory.max")).write_text(str(limit))
        yield group
    finally:
        group.rmdir()


def run_limited(group: Path, folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    variables = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")} | environment
    command = ["bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "bash", sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=900)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder, on a disk, with a set of noise and a recipe of one small network."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        with zipfile.ZipFile(folder / "large.npz", "w") as archive:
            for split, count in COUNTS.items():
                with archive.open(f"{split}_images.npy", "w", force_zip64=True) as stream:
                    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE, 3)}
                    npy.write_array_header_1_0(stream, header)
                    for _ in range(0, count, 100):
                        stream.write(generator.bytes(100 * SIZE * SIZE * 3))
                with archive.open(f"{split}_labels.npy", "w") as stream:
                    npy.write_array(stream, np.arange(count) % 3)
        layers = '[space.hidden_layers]\nchoices = [1]\nsource = "test"\n\n[space.hidden_size]\nchoices = [16]'
        recipe = RECIPE.format(epochs=1).replace('["cnn"]', '["mlnn"]')
        (folder / "large.toml").write_text(recipe.replace("[space.width]\nchoices = [8]", layers))
        yield folder


def test_a_search_and_its_summary_hold_less_than_the_images(folder: Path) -> None:
    with control_group(LIMIT) as group:
        search = "--recipe large.toml --data large.npz --budget 2 --workers 1 --name one"
        code, err = run_limited(group, folder, *SEARCH, *search.split())
        assert code == 0, err
        assert len(RunDirectory.open(folder / "runs" / "one").trials()) == 2
        assert LIMIT < SEARCHED
        code, err = run_limited(group, folder, *SUMMARIZE, "runs/one", *QUICKEST.split())
        assert code == 0, err


def test_images_that_fit_nowhere_are_refused_at_once(folder: Path) -> None:
    with control_group(LIMIT) as group, small_disk(folder / "small", megabytes=64) as disk:
        search = "--recipe large.toml --data large.npz --budget 2 --workers 1 --name two"
        code, err = run_limited(group, folder, *SEARCH, *search.split(), XDG_CACHE_HOME=str(disk))
        assert (code, len(err.splitlines())) == (2, 1), err
        told = f"{folder / 'large.npz'}: its images take 2.2 GB; 0.1 GB are free in {disk}/bloodtune/images, and 2.1 GB"
        assert told in err
        assert not (folder / "runs" / "two").exists()
