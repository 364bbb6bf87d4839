"""The installed package: its wheel has recipes and summary, and each command runs far from the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from model_fixtures import make_model, photograph
from run_fixtures import write_data
from wheel_fixtures import ROOT, build_wheel, files_in, install_wheel, run_program

OWN_RECIPE = """
description = "a network of one's own"

[sampler]
name = "random"

[asha]
max_epochs = 2
first_rung = 1
reduction_factor = 2

[space.family]
choices = ["my.nets:small"]
source = "test"

[space.width]
low = 4
high = 8
source = "test"

[space.optimizer]
choices = ["adam"]
source = "test"

[space.learning_rate]
choices = [0.01]
source = "test"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bloodtune(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the console command of an installed package."""
    return install_wheel(wheel, tmp_path_factory.mktemp("environment")) / "bloodtune"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Give a folder with tiny data, a recipe and a network of one's own."""
    write_data(tmp_path)
    (tmp_path / "own.toml").write_text(OWN_RECIPE)
    (tmp_path / "my").mkdir()
    shutil.copyfile(ROOT / "tests" / "support" / "own_networks.py", tmp_path / "my" / "nets.py")
    return tmp_path


def test_the_wheel_has_every_module_recipe_and_template(wheel: Path) -> None:
    found = files_in(wheel)
    for folder, place in (
        ("bloodtune", "bloodtune"),
        ("analysis", "bloodtune/analysis"),
        ("search", "bloodtune/recipes"),
    ):
        files = {file.relative_to(ROOT / folder) for file in (ROOT / folder).rglob("*.*") if file.is_file()}
        suffixes = (".py", ".toml", ".j2", ".css", ".typed", ".safetensors", ".json")
        wanted = {file for file in files if file.suffix in suffixes}
        assert wanted and {f"{place}/{file.as_posix()}" for file in wanted} <= found
    assert {f"bloodtune/pretrained/{name}" for name in ("model.safetensors", "MODEL_CARD.md", "LICENSE")} <= found
    assert not {name for name in found if name.startswith(("analysis/", "search/", "tests/"))}


def test_the_checkout_cannot_be_imported_from_the_installed_package(bloodtune: Path, tmp_path: Path) -> None:
    code = "import bloodtune, bloodtune.space.recipe_file as r; print(bloodtune.__file__, r.BOOK, sep=chr(10))"
    exit_code, out, err = run_program(tmp_path, bloodtune.with_name("python"), f'-c "{code}"')
    assert exit_code == 0, err
    assert all(line.startswith(str(bloodtune.parents[1])) for line in out.splitlines())
    assert out.splitlines()[1].endswith("/bloodtune/recipes")


def test_search_summarize_and_predict_run_from_a_folder_elsewhere(bloodtune: Path, elsewhere: Path) -> None:
    flags = "--recipe search/smoke.toml --budget 1 --max-epochs 1 --data tiny0.npz --workers 1 --precision float32"
    code, _, err = run_program(elsewhere, bloodtune, f"search {flags} --name one")
    assert code == 0, err
    record = json.loads((elsewhere / "runs" / "one" / "provenance.json").read_text())
    assert record["command"] == f"python -m bloodtune.search {flags} --name one"
    code, _, err = run_program(
        elsewhere, bloodtune, "summarize one --quick --epochs 1 --top 1 --seeds 1 --ensemble 2 --distill"
    )
    assert code == 0, err
    results = elsewhere / "results" / "one-quick"
    page = (results / "report.html").read_text()
    assert "ensemble of 2: search #0" in page and "search #0, distilled" in page
    photograph(elsewhere / "a.png", size=(12, 12))
    code, out, err = run_program(elsewhere, bloodtune, f"predict a.png --model {results / 'models' / 'best'}")
    assert code == 0, err
    assert "a.png" in out


def test_serve_runs_from_a_folder_elsewhere(bloodtune: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "best")
    server = subprocess.Popen(
        [bloodtune, "serve", "--model", model, "--port", "18350"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        assert "open http://127.0.0.1:18350" in server.stderr.readline()
        assert b"<html" in _page("http://127.0.0.1:18350")
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_a_network_of_ones_own_is_searched_and_resumed(bloodtune: Path, elsewhere: Path) -> None:
    flags = "--data tiny0.npz --workers 1 --precision float32"
    code, _, err = run_program(elsewhere, bloodtune, f"search --recipe own.toml --budget 1 {flags} --name own")
    assert code == 0, err
    code, _, err = run_program(elsewhere, bloodtune, "search --resume own --budget 2 --workers 1")
    assert code == 0, err
    rows = (elsewhere / "runs" / "own" / "trials.csv").read_text().splitlines()
    assert len(rows) == 3 and all("my.nets:small" in row and "FAILED" not in row for row in rows[1:])


def _page(address: str) -> bytes:
    for _ in range(100):
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10) as answer:
                page: bytes = answer.read()
                return page
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer at {address}")
