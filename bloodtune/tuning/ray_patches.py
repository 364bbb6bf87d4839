"""Guarded patches of Ray's private parts: what each replaces, why, and what happens without it.

A patch is applied only if the part that it replaces looks as it did in Ray 2.60. Otherwise one line in the log names it
and Ray runs as it is: slower, or more easily ended by a host that dies. ``BLOODTUNE_PLAIN_RAY=1`` skips all patches but
those for security. Targets are named by text and imported where they are applied, since workers start sooner if
``ray.tune`` is not imported before Ray runs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN_RAY = "BLOODTUNE_PLAIN_RAY"

_log = logging.getLogger("bloodtune")


@dataclass(frozen=True)
class Patch:
    """One replaced attribute: ``target`` is ``module:attribute``, ``looks_known`` checks the original.

    ``replace`` returns the replacement for an original. ``kind`` is speed, correctness or security; ``gain`` says what
    the patch buys, as measured on 2 cores of an EPYC (docs/design.md).
    """

    target: str
    kind: str
    gain: str
    looks_known: Callable[[Any], bool]
    replace: Callable[[Any], Any]


def _takes(*names: str) -> Callable[[Any], bool]:
    return lambda original: tuple(inspect.signature(original).parameters) == names


def _do_nothing(original: Any) -> Any:
    return lambda *arguments, **options: None


def _set_ray_actor(original: Any) -> Any:
    def set_ray_actor(trial: Any, ray_actor: Any) -> None:
        trial.temporary_state.ray_actor = ray_actor

    return set_ray_actor


def _actor_task_failed(original: Any) -> Any:
    from ray import exceptions

    # Errors that Ray raises when a worker or its host dies during a call.
    names = ("NodeDiedError", "ObjectLostError", "OutOfMemoryError", "WorkerCrashedError")
    deaths = tuple(getattr(exceptions, name) for name in names)

    @functools.wraps(original)
    def failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, deaths):
            exception = exceptions.RayActorError(error_msg=str(exception))
        original(manager, tracked_actor_task, exception)

    return failed


# For a Ray that is started on this machine. Never skipped: other hosts could run code as this user.
LOOPBACK = Patch(
    "ray._private.ray_constants:ENABLE_RAY_CLUSTER",
    "security",
    "Ray listens on 127.0.0.1 alone, as it does on macOS",
    lambda original: isinstance(original, bool),
    lambda original: False,
)
START = (
    Patch(
        "ray._private.node:Node.start_monitor",
        "speed",
        "2.5 s per search, together with the next two: no autoscaler, which one machine does not use",
        _takes("self"),
        _do_nothing,
    ),
    Patch(
        "ray._private.node:Node.start_api_server",
        "speed",
        "no dashboard, which nobody opens and which takes a second to end",
        _takes("self", "include_dashboard", "raise_on_failure"),
        _do_nothing,
    ),
    Patch(
        "ray._private.node:Node.start_log_monitor",
        "speed",
        "no process that copies the workers' logs to the terminal",
        _takes("self"),
        _do_nothing,
    ),
)

# Options of Ray's daemons; Ray ignores unknown names. Workers import torch as soon as they are up, while the driver
# prepares (0.7 to 1 s per search). A waiting worker is kept for a minute: once the first trial has claimed its CPU, Ray
# would end it after a second as surplus.
DAEMON_SETTINGS = {
    "RAY_preload_python_modules": "bloodtune.tuning.worker_preload",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
}

# For a search with Ray Tune.
TUNE = (
    Patch(
        "ray.tune.execution.class_cache:DEFAULT_ENV_VARS",
        "speed",
        "0.7 s per search: for workers with their own variables Ray ends the waiting processes and starts new ones",
        lambda original: isinstance(original, dict),
        lambda original: {},
    ),
    Patch(
        "ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE",
        "speed",
        "as DEFAULT_ENV_VARS, where such a variable is set here",
        lambda original: isinstance(original, (set, frozenset, tuple)),
        lambda original: type(original)(),
    ),
    Patch(
        "ray.tune.experiment:Trial.set_ray_actor",
        "correctness",
        "Tune requests each worker's address; if a host dies before its reply, the lost reply ends the search",
        _takes("self", "ray_actor"),
        _set_ray_actor,
    ),
    Patch(
        "ray.air.execution._internal.actor_manager:RayActorManager._actor_task_failed",
        "correctness",
        "Tune ends the search on some errors of a dead worker, such as one killed for its memory",
        _takes("self", "tracked_actor_task", "exception"),
        _actor_task_failed,
    ),
)


@contextlib.contextmanager
def applied(patches: Sequence[Patch]) -> Iterator[None]:
    """Apply patches for as long as the context lasts; a part that has changed is left alone, with a line in the log."""
    with contextlib.ExitStack() as held:
        for patch in patches:
            if is_plain() and patch.kind != "security":
                continue
            try:
                owner, name, original = _find(patch.target)
                known = patch.looks_known(original)
                replacement = patch.replace(original) if known else None
            except (ImportError, AttributeError, TypeError, ValueError):
                known = False
            if not known:
                _log.warning("Ray has changed: no patch of %s (%s: %s)", patch.target, patch.kind, patch.gain)
                continue
            setattr(owner, name, replacement)
            held.callback(setattr, owner, name, original)
        yield


def is_plain() -> bool:
    """Return True if the user asks to skip all patches that are not for security."""
    return os.environ.get(PLAIN_RAY, "") not in ("", "0")


def free_results(trial: Any) -> None:
    """Free a finished trial's results: 26 KB per trial that the run directory has too."""
    if is_plain():
        return
    try:
        kept = trial.run_metadata
        kept.metric_analysis.clear()
        kept.metric_n_steps.clear()
        kept.last_result = {}
    except AttributeError as error:
        _log_once(f"Ray has changed: results of finished trials stay in memory ({error})")
    free_checkpoint(trial)


def free_checkpoint(trial: Any) -> None:
    """Free the checkpoint that a trial goes on from: up to 70 MB that Tune would write to its own files."""
    for config in (trial.config, trial.evaluated_params):
        config.pop("checkpoint", None)


def actor_of(trial: Any) -> Any | None:
    """Return the worker of one of Tune's trials, or None if it has none or Ray has changed."""
    actor = getattr(getattr(trial, "temporary_state", None), "ray_actor", None)
    if actor is None:
        _log_once("Ray has changed, or the trial has no worker: a worker over --epoch-limit cannot be killed")
    return actor


@contextlib.contextmanager
def daemon_settings() -> Iterator[None]:
    """Set ``DAEMON_SETTINGS`` for as long as the context lasts: daemons read them at their start."""
    with environment({} if is_plain() else DAEMON_SETTINGS):
        yield


@contextlib.contextmanager
def environment(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of the environment, or remove those with None, for as long as the context lasts."""
    before = {name: os.environ.get(name) for name in settings}

    def apply(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    apply(settings)
    try:
        yield
    finally:
        apply(before)


@contextlib.contextmanager
def token_reread() -> Iterator[None]:
    """Let Ray read its token from the environment anew, in the context and afterwards: it keeps the first one."""
    try:
        _, _, loader = _find("ray._raylet:AuthenticationTokenLoader")
        forget = loader.instance().reset_cache
    except (ImportError, AttributeError) as error:
        _log_once(f"Ray has changed: an earlier token of this process stays in use ({error})")
        yield
        return
    forget()
    try:
        yield
    finally:
        forget()


def _find(target: str) -> tuple[Any, str, Any]:
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    return owner, name, getattr(owner, name)


@functools.cache
def _log_once(message: str) -> None:
    _log.warning(message)
