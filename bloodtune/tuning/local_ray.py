"""Ray of our own on this machine: no other host reaches it, and its token and its folder are its own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bloodtune.errors import InputError, describe, one_line
from bloodtune.tuning.host_timing import FOLDER
from bloodtune.tuning.ray_patches import (
    LOOPBACK,
    START,
    applied,
    daemon_settings,
    environment,
    is_plain,
    token_reread,
)

# Ray's sockets have 64 characters below its folder, and a path of a socket has at most 107 (104 on macOS).
_PREFIX, _LONGEST = "ray-", 27
_LOGS = 64 * 2**20  # bytes of room for Ray's logs
_ANSWER_SECONDS = 5.0

# None removes a variable. Other users cannot read a token in the environment, but often Ray's file ~/.ray/auth_token.
# Of the next three, left by Slurm or for a cluster, Ray would refuse to start or count GPUs that do not exist.
_ENVIRONMENT: dict[str, str | None] = {
    "RAY_AUTH_MODE": None,
    "RAY_AUTH_TOKEN_PATH": None,
    "RAY_ADDRESS": None,
    "RAY_OVERRIDE_RESOURCES": None,
    "ROCR_VISIBLE_DEVICES": None,
}


@contextlib.contextmanager
def local_ray(options: Mapping[str, Any]) -> Iterator[Any]:
    """Start Ray on this machine for as long as the context lasts; yields what ``ray.init`` returns.

    Ray listens on 127.0.0.1 alone, and a process without its token is refused. Its folder is deleted at the end.

    Raises:
        InputError: Ray cannot be started; the message says what to do where that is known.
    """
    _check_paths()
    _check_loopback()
    settings = _ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    if "CUDA_VISIBLE_DEVICES" not in os.environ and "ROCR_VISIBLE_DEVICES" in os.environ:
        settings["HIP_VISIBLE_DEVICES"] = os.environ["ROCR_VISIBLE_DEVICES"]  # the name that Ray takes for AMD's GPUs
    with contextlib.ExitStack() as held:
        folder = held.enter_context(_folder(options["object_store_memory"]))
        settings[FOLDER] = None if is_plain() else str(folder)  # workers without preload cannot answer
        held.enter_context(environment(settings))
        held.enter_context(token_reread())
        import ray

        held.callback(ray.shutdown)
        try:
            with applied((LOOPBACK, *START)), daemon_settings():
                context = ray.init(**options, _temp_dir=str(folder))
        except Exception as error:  # Ray raises many types
            raise InputError(f"Ray cannot be started on this machine: {describe(error)}") from None
        yield context


@contextlib.contextmanager
def _folder(store_bytes: int) -> Iterator[Path]:
    # Ray's default, /tmp/ray, is shared by all users. Where /dev/shm is too small, the object store is in this folder.
    room = _LOGS + (store_bytes if _free("/dev/shm") < store_bytes else 0)
    places = [os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"]
    tried = list(dict.fromkeys(os.path.abspath(place) for place in places if place))
    for place in tried:
        with contextlib.suppress(OSError):
            if len(os.fsencode(place)) <= _LONGEST and _free(place) >= room:
                folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
                break
    else:
        needed = f"a writable folder with {room / 1e6:,.0f} MB of room and a path of at most {_LONGEST} bytes"
        raise InputError(f"Ray needs {needed}; set RAY_TMPDIR to one (tried {', '.join(tried)})")
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(remove)  # again after Ray's handler, which ends the processes of a start that was interrupted
    try:
        yield Path(folder)
    finally:
        remove()


def _check_paths() -> None:
    # Ray sends these as UTF-8 text.
    for path in (os.getcwd(), *sys.path):
        try:
            path.encode()
        except UnicodeEncodeError:
            told = f"{path}: the name of this folder is not UTF-8, which Ray needs"
            raise InputError(f"{told}; rename it, or search from another folder") from None


def _check_loopback() -> None:
    # Ray's processes would ask each other for minutes.
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), _ANSWER_SECONDS).close()
    except OSError as error:
        told = f"this machine does not reach itself at 127.0.0.1 ({one_line(error)}), which Ray needs"
        raise InputError(f"{told}; as root: ip link set lo up") from None


def _free(place: str) -> int:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0
