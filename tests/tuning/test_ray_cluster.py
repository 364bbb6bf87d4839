"""The choice between a Ray of this machine and a running cluster."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from bloodtune.errors import InputError
from bloodtune.tuning.ray_cluster import LOCAL, connect, resolve_address


@pytest.mark.usefixtures("home")
def test_a_search_never_joins_a_cluster_that_it_was_not_told_of() -> None:
    assert resolve_address(None) == "local"


def test_the_head_of_a_ray_up_cluster_is_joined_without_asking(home: Path) -> None:
    home.mkdir()
    (home / "ray_bootstrap_config.yaml").touch()
    assert resolve_address(None) == "auto"
    assert resolve_address("10.0.0.1:6379") == "10.0.0.1:6379"


@pytest.mark.usefixtures("home")
def test_ray_address_counts_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert resolve_address(None) == "10.0.0.2:6379"


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test join or start Ray."""

    def init(**_: object) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance.")

    monkeypatch.setattr(ray, "init", init)


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize(
    ("address", "variable", "reason"),
    [
        ("127.0.0.1:1", None, "[Errno 111] Connection refused"),
        ("127.0.0.1:1", "127.0.0.1:1", "[Errno 111] Connection refused; unset RAY_ADDRESS to use this machine alone"),
        ("auto", "auto", "Could not find any running Ray instance.; unset RAY_ADDRESS to use this machine alone"),
        ("auto", None, "Could not find any running Ray instance.; RAY_ADDRESS=local uses this machine alone"),
        ("nonsense", None, "Could not find any running Ray instance."),
    ],
)
def test_an_address_where_no_cluster_answers_is_one_line_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, address: str, variable: str | None, reason: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    with pytest.raises(InputError) as caught, connect(address, workers=1, image_bytes=1):
        pytest.fail("connected")
    assert str(caught.value) == f"no Ray cluster answers at {address}: {reason}"


@pytest.mark.usefixtures("no_ray")
def test_a_cluster_that_answers_and_cannot_be_joined_is_said_to_need_its_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError) as caught, connect(address, workers=1, image_bytes=1):
            pytest.fail("connected")
    reason = "Could not find any running Ray instance."
    needs = "it needs its token in ~/.ray/auth_token or RAY_AUTH_TOKEN, and the same version of Ray"
    assert str(caught.value) == f"the Ray cluster cannot be joined at {address}: {reason}; {needs}"


@pytest.mark.usefixtures("no_ray")
def test_a_ray_that_the_caller_has_started_is_used_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("it was the caller's"))
    with connect(LOCAL, workers=1, image_bytes=1) as resources:
        assert resources == {"CPU": 3.0}
        second = "this process has a search or a summary already; wait for its end, or start a process"
        with pytest.raises(InputError, match=f"^{second}$"), connect(LOCAL, workers=1, image_bytes=1):
            pytest.fail("two searches at a time")
    with connect(LOCAL, workers=1, image_bytes=1):
        pass


@pytest.fixture
def ended_by_sigterm() -> Iterator[None]:
    """Handle SIGTERM as a command does."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt("by SIGTERM")

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("ended_by_sigterm")
@pytest.mark.parametrize("address", [LOCAL, "auto"])
def test_sigterm_is_handled_as_before_ray_which_would_exit(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def init(**_: object) -> None:
        assert signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # Ray's processes inherit it
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        raise ConnectionError("no")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError), connect(address, workers=1, image_bytes=1):
        pytest.fail("connected")
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.usefixtures("ended_by_sigterm")
@pytest.mark.parametrize("address", [LOCAL, "auto"])
def test_sigterm_while_ray_starts_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def init(**_: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    closed = []
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: closed.append(True))
    with pytest.raises(KeyboardInterrupt, match="by SIGTERM"), connect(address, workers=1, image_bytes=1):
        pytest.fail("connected")
    assert closed or address == "auto"
