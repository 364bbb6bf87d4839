"""The connection to Ray: an instance of our own on this machine, or a running cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bloodtune.command_line import print_lines
from bloodtune.errors import InputError, one_line
from bloodtune.files import home_folder
from bloodtune.tuning.local_ray import local_ray

LOCAL = "local"

CONNECT_SECONDS = 10.0

_TOKEN = "; it needs its token in ~/.ray/auth_token or RAY_AUTH_TOKEN, and the same version of Ray"

_CONNECTING = threading.Lock()  # a process has one connection to Ray

# Seconds between two checks that the raylet, Ray's process on each host, still lives.
RAYLET_SECONDS = 2.0

# `ray up` writes this file into the home folder on the head of its cluster.
_CLUSTER_HEAD = "ray_bootstrap_config.yaml"

# Ray reads these at import or start. Tune's own loggers, checkpoints and signal handlers would repeat the work of the
# run directory and of our modules, and its notices about them do not concern the user. Under `uv run` Ray would start
# each worker by uv, from a copy of the current folder.
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def resolve_address(asked: str | None) -> str:
    """Return the address to connect to: the one ``asked`` for, else ``RAY_ADDRESS``, else "auto" or "local".

    "auto" is for the head of a `ray up` cluster. Ray's own default would join whatever cluster was started last on this
    machine; "local" never does.

    Raises:
        InputError: no address is given, and the user has no home folder.
    """
    given = asked or os.environ.get("RAY_ADDRESS")
    return given or ("auto" if (home_folder() / _CLUSTER_HEAD).exists() else LOCAL)


@contextlib.contextmanager
def connect(
    address: str, *, workers: int | None, image_bytes: int, sources: Sequence[str] = ()
) -> Iterator[dict[str, float]]:
    """Connect to Ray, or start it here, for as long as the context lasts; yields the resources of all hosts.

    A Ray that this process has started or joined before is used as it is, and goes on afterwards.

    Args:
        address: from ``resolve_address``.
        workers: CPUs of a Ray that is started here; at most, and for None, those that affinity and container allow.
        image_bytes: size of the images to copy into the object store of a Ray that is started here.
        sources: files and folders of modules to send to the hosts of a running cluster.

    Raises:
        InputError: no cluster answers, Ray cannot be started here (on Windows never), or this process is connected.
    """
    _check(address)
    os.environ.update(_ENVIRONMENT | os.environ)
    import ray

    # We handle what Ray and Tune log as errors, such as a killed worker, and print it ourselves.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
    with contextlib.ExitStack() as held:
        if not _CONNECTING.acquire(blocking=False):
            raise InputError("this process has a search or a summary already; wait for its end, or start a process")
        held.callback(_CONNECTING.release)
        if ray.is_initialized():  # the caller's own, which goes on
            yield ray.cluster_resources()
            return
        modules = {"runtime_env": {"py_modules": list(sources)}} if sources else {}
        is_local = address == LOCAL
        opened = local_ray(options | _size(workers, image_bytes)) if is_local else _joined(options | modules)
        with _own_signals():
            context = held.enter_context(opened)
        held.enter_context(_ending_without(context.address_info["raylet_socket_name"]))
        yield ray.cluster_resources()


def _check(address: str) -> None:
    if sys.platform == "win32":
        raise InputError("searches and summaries train through Ray, which needs Linux or macOS; on Windows, use WSL")
    if address.startswith("ray://"):
        raise InputError(f"{address}: Ray's client protocol cannot be used; run this on a host of the cluster")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    # While Ray starts. Ray has SIGTERM exit without a word, with code 15 or 1: a handler of this process is put back.
    # A terminal's SIGHUP would end Ray's processes before this one has stopped: they inherit that it is blocked.
    if sys.platform == "win32":
        raise NotImplementedError("connect refuses Windows")
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, blocked = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt("by SIGTERM") from None
    finally:
        if before != signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _size(workers: int | None, image_bytes: int) -> dict[str, int]:
    import joblib

    cores = joblib.cpu_count()
    return {"num_cpus": min(workers or cores, cores), "object_store_memory": 2 * image_bytes + 200 * 2**20}


@contextlib.contextmanager
def _joined(options: Mapping[str, Any]) -> Iterator[Any]:
    import ray

    address, answers = options["address"], False
    try:
        answers = _check_answers(address)
        context = ray.init(**options)
    except Exception as error:  # Ray raises many types
        failed = "the Ray cluster cannot be joined at" if answers else "no Ray cluster answers at"
        hint = _TOKEN if answers else _hint(address)
        raise InputError(f"{failed} {address}: {one_line(error)}{hint}") from None
    try:
        yield context
    finally:
        ray.shutdown()


def _check_answers(address: str) -> bool:
    # Ray itself would retry for minutes. Returns whether there is a port to ask: "auto" has none.
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    return bool(colon)


def _hint(address: str) -> str:
    if address == os.environ.get("RAY_ADDRESS"):
        return "; unset RAY_ADDRESS to use this machine alone"
    return "; RAY_ADDRESS=local uses this machine alone" if address == "auto" else ""


@contextlib.contextmanager
def _ending_without(raylet: str) -> Iterator[None]:
    # A driver whose raylet has died waits inside Ray for ever. All its results are on disk, so the process may end.
    if sys.platform == "win32":
        raise NotImplementedError("connect refuses Windows")
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(RAYLET_SECONDS):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(raylet) and not ended.is_set():
                    print_lines("bloodtune: Ray died on this machine; continue with --resume")
                    os._exit(1)

    thread = threading.Thread(target=watch, name="raylet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
