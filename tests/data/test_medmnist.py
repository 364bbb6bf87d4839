"""The published sets, their download and what happens without it; nothing here reaches beyond 127.0.0.1."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bloodtune.data import medmnist
from bloodtune.data.dataset import load_dataset
from data_fixtures import BLOOD_CELLS, error_of, make_arrays, md5_of, save

pytestmark = pytest.mark.usefixtures("home")


class Server(ThreadingHTTPServer):
    """Answers every request with ``status`` and ``content``, and counts them."""

    status, content, requests = 200, b"", 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/bloodmnist.npz?download=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: Any) -> None:
        pass


def publish(monkeypatch: pytest.MonkeyPatch, url: str, md5: str) -> None:
    """Have medmnist.INFO say that BloodMNIST lies at ``url``."""
    entry = medmnist.medmnist_info()["bloodmnist"] | {"url": url, "MD5": md5}
    info = medmnist.medmnist_info() | {"bloodmnist": entry}
    monkeypatch.setattr(medmnist, "medmnist_info", lambda: info)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a small file as the official BloodMNIST."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = save(tmp_path / "official.npz", make_arrays(classes=8)).read_bytes()
        publish(monkeypatch, server.url, md5_of(server.content))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the official file lie where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    publish(monkeypatch, f"http://127.0.0.1:{port}/bloodmnist.npz", "0" * 32)


# Which sets there are.


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("bloodmist_64", "unknown data set 'bloodmist_64'; did you mean 'bloodmnist_64'?"),
        ("sinthetic", "unknown data set 'sinthetic'; did you mean 'synthetic'?"),
        ("bloodmnist224", "unknown data set 'bloodmnist224'; did you mean 'bloodmnist_224'?"),
        ("BloodMNIST-28", "unknown data set 'BloodMNIST-28'; did you mean 'bloodmnist'?"),
        (
            "bloodmnist32",
            "unknown data set 'bloodmnist32'; allowed: bloodmnist, bloodmnist_64, bloodmnist_128, bloodmnist_224",
        ),
        ("qqqq", "unknown data set 'qqqq'; allowed: synthetic, pathmnist, dermamnist,"),
        ("", "unknown data set ''; allowed: synthetic"),
        ("chestmnist", "data set 'chestmnist' cannot be used: it is a multi-label set"),
        ("chestmnist_224", "data set 'chestmnist_224' cannot be used: it is a multi-label set"),
        ("organmnist3d_64", "data set 'organmnist3d_64' cannot be used: it is a 3-D set"),
    ],
)
def test_load_dataset_refuses_a_name(asked: str, message: str) -> None:
    assert error_of(asked).startswith(message)


@pytest.mark.parametrize("name", ["bloodmnist", "BloodMNIST", "bloodmnist_28"])
def test_check_name_gives_the_spelling_of_medmnist(name: str) -> None:
    assert medmnist.check_name(name) == "bloodmnist"


def test_published_names_are_eleven_sets_in_four_sizes() -> None:
    names = medmnist.published_names()
    assert len(names) == 44
    assert {"bloodmnist", "bloodmnist_64", "bloodmnist_128", "bloodmnist_224"} < set(names)


def test_medmnist_info_leaves_no_folder_behind(home: Path) -> None:
    home.mkdir()
    medmnist.medmnist_info.cache_clear()
    assert "bloodmnist" in medmnist.medmnist_info()
    assert list(home.iterdir()) == []


def test_class_names_are_short() -> None:
    assert medmnist.class_names("bloodmnist") == BLOOD_CELLS


def test_match_class_names_needs_the_shape_of_one_published_set() -> None:
    sizes = {"train": 11959, "val": 1712, "test": 3421}
    assert medmnist.match_class_names(64, 3, 8, sizes) == BLOOD_CELLS
    assert medmnist.match_class_names(32, 3, 8, sizes)[0] == "class 0"
    assert medmnist.match_class_names(28, 1, 8, sizes)[0] == "class 0"
    assert medmnist.match_class_names(28, 3, 8, sizes | {"val": 1721})[0] == "class 0"


# The official file.


def test_load_dataset_downloads_the_official_file_once(server: Server, home: Path, capsys: Any) -> None:
    data = load_dataset()
    path = home / ".medmnist" / "bloodmnist.npz"
    assert (data.title, data.source, data.fell_back) == ("bloodmnist", str(path), False)
    assert data.md5 == md5_of(path.read_bytes())
    assert "100%" in capsys.readouterr().err
    assert load_dataset("bloodmnist").md5 == data.md5
    assert server.requests == 1
    assert os.listdir(path.parent) == ["bloodmnist.npz"]


def test_fetch_takes_the_url_and_md5_of_the_size(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = medmnist.medmnist_info()["bloodmnist"]
    entry = entry | {"url_64": entry["url"], "MD5_64": entry["MD5"], "url": "", "MD5": ""}
    monkeypatch.setattr(medmnist, "medmnist_info", lambda: {"bloodmnist": entry})
    assert load_dataset("bloodmnist_64").title == "bloodmnist_64"
    assert (home / ".medmnist" / "bloodmnist_64.npz").is_file()


def test_load_dataset_never_trusts_or_overwrites_another_file(server: Server, home: Path, standin: Path) -> None:
    path = home / ".medmnist" / "bloodmnist.npz"
    path.parent.mkdir(parents=True)
    save(path, make_arrays())
    before = path.read_bytes()
    for asked in (None, "bloodmnist"):
        assert error_of(asked) == (
            f"{path} has MD5 {md5_of(before)}, but the published file has MD5 {md5_of(server.content)}: move your "
            f"file away to download the published one, or pass --data {path} to use your file"
        )
    assert path.read_bytes() == before
    assert server.requests == 0
    assert load_dataset(str(path)).title == "bloodmnist"


def test_load_dataset_discards_a_download_with_another_md5(server: Server, home: Path) -> None:
    expected, server.content = md5_of(server.content), b"<html>please log in</html>"
    message = error_of("bloodmnist")
    assert f"expected md5:{expected} but got {md5_of(server.content)}): pass --data PATH" in message
    assert not (home / ".medmnist").exists(), "nothing is left behind"


def test_load_dataset_says_what_to_do_where_the_server_refuses(server: Server, home: Path) -> None:
    server.status = 404
    assert error_of(None, cluster=True) == (
        f"bloodmnist could not be downloaded from {server.url} (HTTPError 404): pass --data PATH or --data "
        f"synthetic, or put the file with MD5 {md5_of(server.content)} at {home}/.medmnist/bloodmnist.npz"
    )


def test_load_dataset_falls_back_where_nothing_was_asked(offline: None, standin: Path, caplog: Any) -> None:
    data = load_dataset()
    assert (data.title, data.source, data.synthetic, data.fell_back) == ("synthetic", "synthetic", True, True)
    assert data.class_names == BLOOD_CELLS
    assert data.md5 == md5_of(standin.read_bytes())
    assert "(ConnectionError)" in caplog.text
    assert "the built-in synthetic data set is used instead" in caplog.text


def test_load_dataset_does_not_fall_back_where_a_set_was_asked(
    offline: None, home: Path, standin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "(ConnectionError): pass --data PATH or --data synthetic" in error_of("bloodmnist")
    assert not (home / ".medmnist").exists()
    assert error_of(None, cluster=True).startswith("bloodmnist could not be downloaded")
    monkeypatch.setenv("BLOODTUNE_DATA", "bloodmnist")
    assert error_of(None).startswith("BLOODTUNE_DATA: bloodmnist could not be downloaded")


def test_load_dataset_does_not_wait_for_a_silent_server(standin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medmnist, "_TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publish(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/bloodmnist.npz", "0" * 32)
        started = time.monotonic()
        assert load_dataset().fell_back
        assert time.monotonic() - started < 2


def test_load_dataset_falls_back_where_the_home_folder_cannot_be_used(
    server: Server, home: Path, standin: Path
) -> None:
    home.write_text("a file, not a folder")
    assert load_dataset().fell_back
