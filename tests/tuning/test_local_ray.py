"""Ray of our own on this machine: its folder, its variables and the errors of its start, with a stand-in for Ray."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from bloodtune.errors import InputError
from bloodtune.tuning import local_ray as module
from bloodtune.tuning.host_timing import FOLDER
from bloodtune.tuning.local_ray import local_ray

OPTIONS = {"num_cpus": 1, "object_store_memory": 2**20}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give what Ray found at its start, instead of starting it."""
    found: dict[str, Any] = {}

    def init(**options: Any) -> str:
        from ray._private import services

        found.update(options, environment=dict(os.environ), address=services.get_node_ip_address())
        return "context"

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return found


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with a short path for Ray's folder; none of this machine's folders has room."""
    folder = Path(tempfile.mkdtemp(prefix="bt", dir="/tmp"))
    free = module._free
    monkeypatch.setattr(module, "_free", lambda place: free(place) if place.startswith(str(folder)) else 0)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    yield folder
    shutil.rmtree(folder)


def test_ray_has_a_folder_of_its_own_that_is_deleted(seen: dict[str, Any]) -> None:
    with local_ray(OPTIONS) as context:
        folder = Path(seen["_temp_dir"])
        assert seen["environment"][FOLDER] == str(folder), "its workers find it"
        assert context == "context"
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_ray_listens_on_this_machine_alone_and_has_a_token_of_its_own(seen: dict[str, Any]) -> None:
    tokens = set()
    for _ in range(2):
        with local_ray(OPTIONS):
            assert seen["address"] == "127.0.0.1"
            tokens.add(seen["environment"]["RAY_AUTH_TOKEN"])
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_without_patches_ray_still_listens_on_this_machine_alone(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOODTUNE_PLAIN_RAY", "1")
    with local_ray(OPTIONS):
        assert seen["address"] == "127.0.0.1"
        assert FOLDER not in seen["environment"], "nothing is loaded by workers that wait, so none is asked"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAY_AUTH_MODE", "disabled"),
        ("RAY_AUTH_TOKEN_PATH", "/nowhere"),
        ("RAY_ADDRESS", "10.0.0.1:6379"),
        ("RAY_OVERRIDE_RESOURCES", '{"GPU":1}'),
        ("ROCR_VISIBLE_DEVICES", "0"),
    ],
)
def test_a_variable_left_by_others_is_hidden_from_ray_and_kept(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with local_ray(OPTIONS):
        assert name not in seen["environment"]
    assert os.environ[name] == value


@pytest.mark.parametrize(("cuda", "expected"), [(None, "1"), ("0", None)])
def test_gpus_of_amd_are_given_to_ray_under_the_name_that_it_takes(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cuda: str | None, expected: str | None
) -> None:
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1")
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if cuda:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cuda)
    with local_ray(OPTIONS):
        assert seen["environment"].get("HIP_VISIBLE_DEVICES") == expected


def test_a_folder_whose_path_is_too_long_for_sockets_is_passed_over(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with local_ray(OPTIONS):
        assert len(f"{seen['_temp_dir']}/session_2026-11-26_22-03-20_041049_4194304/sockets/plasma_store") <= 104
    assert list(long.iterdir()) == []


def test_a_folder_without_room_is_passed_over(
    seen: dict[str, Any], places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/var/tmp")
    with local_ray(OPTIONS):
        assert Path(seen["_temp_dir"]).parent == places


@pytest.mark.usefixtures("seen")
def test_no_folder_for_ray_is_one_line_with_what_to_do(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    needed = "Ray needs a writable folder with 68 MB of room and a path of at most 27 bytes"
    tried = f"{places}, /tmp, /var/tmp, /dev/shm"
    with pytest.raises(InputError) as caught, local_ray(OPTIONS):
        pytest.fail("started")
    assert str(caught.value) == f"{needed}; set RAY_TMPDIR to one (tried {tried})"


def test_a_small_shared_memory_needs_room_for_the_images_in_rays_folder(
    seen: dict[str, Any], places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"/dev/shm": 64 * 2**20, str(places): 2 * 2**30, "/tmp": 9 * 2**30}
    monkeypatch.setattr(module, "_free", lambda place: sizes.get(place, 0))
    with local_ray(OPTIONS | {"object_store_memory": 2**30}):
        assert Path(seen["_temp_dir"]).parent == places
    with local_ray(OPTIONS | {"object_store_memory": 4 * 2**30}):
        assert Path(seen["_temp_dir"]).parent == Path("/tmp")


@pytest.mark.parametrize("error", [RuntimeError("no\nport"), OSError(28, "No space left on device"), ValueError("big")])
def test_a_start_of_ray_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"^Ray cannot be started on this machine: [^\n]+$"), local_ray(OPTIONS):
        pytest.fail("started")


def test_a_machine_that_does_not_reach_itself_is_one_line(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(InputError) as caught, local_ray(OPTIONS):
        pytest.fail("started")
    told = "this machine does not reach itself at 127.0.0.1 ([Errno 101] Network is unreachable), which Ray needs"
    assert (str(caught.value), seen) == (f"{told}; as root: ip link set lo up", {})


def test_a_folder_whose_name_is_not_utf_8_is_one_line(
    seen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"cells \xff")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught, local_ray(OPTIONS):
        pytest.fail("started")
    told = f"{folder}: the name of this folder is not UTF-8, which Ray needs; rename it, or search from another folder"
    assert (str(caught.value), seen) == (told, {})


INTERRUPTED = """
import atexit, pathlib, ray
from bloodtune.tuning.local_ray import local_ray

def init(_temp_dir, **_):
    log = pathlib.Path(_temp_dir) / "log"
    print(log.parent)
    atexit.register(lambda: (log.parent.mkdir(), log.touch()))  # its processes write until Ray ends them at exit
    raise KeyboardInterrupt

ray.init = init
with local_ray({"object_store_memory": 1}):
    pass
"""


def test_nothing_is_left_of_a_start_that_is_interrupted() -> None:
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], env=variables, capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    assert not Path(done.stdout.strip()).exists()
