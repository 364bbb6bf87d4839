"""Each benchmark in its quick size on tiny data: it runs, and its last line is what programs read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from data_fixtures import make_arrays, save
from field_fixtures import usual_field
from model_fixtures import make_model

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.benchmark


def run_benchmark(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Return the figures of the last line, and the lines before it."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    figures = json.loads(last)
    assert figures["machine"]["cpus"] >= 1
    assert figures["git_commit"]
    assert figures["data"]
    return figures, "\n".join(table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    save(folder / "small.npz", make_arrays(size=28, classes=8, copies=16))
    return folder


def test_throughput_compares_two_whole_programs(folder: Path) -> None:
    figures, table = run_benchmark("throughput", folder, "--data", "small.npz")
    assert (figures["ratio"] > 1) == (figures["ours_seconds"] < figures["usual_seconds"])
    assert f"ratio {figures['ratio']:.2f}; ours in {figures['precision']}" in table
    assert figures["images"] == 2 * 128
    assert len(figures["usual_scores"]) == len(figures["ours_scores"]) == 2
    assert "images/s" in table


def test_training_compares_each_family_and_each_choice(folder: Path) -> None:
    figures, table = run_benchmark("training", folder, "--data", "small.npz")
    assert [row["family"] for row in figures["families"]] == ["mlnn", "cnn", "lightweight", "residual"]
    for row in figures["families"]:
        assert (row["ratio"] > 1) == (row["ours"] > row["plain"])
        assert 0 < row["peak_share"] < 1
    variants = {row["variant"] for row in figures["contributions"]}
    assert {"as it is", "without channels last", "without ema"} <= variants
    assert figures["precision"] in ("float32", "bfloat16")
    assert figures["chip"] in table
    assert {row["precision"]: len(row["scores"]) for row in figures["precisions"]}["float32"] == 2
    assert "without fused optimizer" in table


def test_overhead_runs_empty_trials_and_times_suggestions(folder: Path) -> None:
    figures, _ = run_benchmark("overhead", folder, "--data", "small.npz")
    assert figures["trials"] == 100
    assert 0 < figures["seconds"] < 240
    assert (figures["trials_per_second"] > 1) == (figures["seconds"] < 100)
    assert figures["gap_seconds_median"] > 0
    assert figures["suggestion_seconds"]["100"] > 0


def test_corruptions_are_judged_on_a_part_of_the_validation_images(folder: Path) -> None:
    figures, table = run_benchmark(
        "corruptions", folder, "--data", "small.npz", "--model", str(make_model(folder / "m"))
    )
    assert figures["images"] == 32
    assert "| motion | 2, 4, 6 |" in table


def test_scaling_runs_the_same_trials_on_one_worker_and_on_two(folder: Path) -> None:
    figures, table = run_benchmark("scaling", folder, "--data", "small.npz")
    assert (figures["ratio"] > 1) == (figures["seconds"]["2"] < figures["seconds"]["1"])
    assert f"ratio {figures['ratio']:.2f}" in table


def test_the_speedrun_reports_its_seeds(folder: Path) -> None:
    figures, table = run_benchmark("speedrun", folder, "--data", "small.npz")
    assert len(figures["seconds"]) == len(figures["test_accuracies"]) == 2
    assert figures["reached"] is False, "the images are noise"
    assert "NOT reached" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_its_benchmark_says_so(folder: Path) -> None:
    figures, table = run_benchmark("gpu", folder, "--data", "small.npz")
    assert figures["gpu"] is None
    assert table.startswith("no GPU here")


def test_prediction_reads_photographs_from_disk(folder: Path) -> None:
    figures, table = run_benchmark("prediction", folder, "--data", "small.npz")
    assert [row["photographs"] for row in figures["rows"]] == [64, 64, 256]
    assert all(row["a_second"] > 0 and row["memory_mb"] > 0 for row in figures["rows"])
    assert "peak memory" in table and all(speed > 0 for speed in figures["read_a_second"])


def test_fields_compares_cells_with_boxes(folder: Path) -> None:
    fields = folder / "fields"
    fields.mkdir()
    rows = ["file_name,object,xmin,ymin,xmax,ymax"]
    for name in "abcd":
        usual_field(5).picture().save(fields / f"{name}.png")
        rows += [f"{name}.png,WBC,115,85,185,155", f"{name}.png,RBC,10,15,50,55"]
    (fields / "boxes.csv").write_text("\n".join(rows))
    figures, table = run_benchmark("fields", folder, "fields", "--data", "small.npz")
    assert figures["judged_on"] == {"leukocytes": 2, "hits": 2, "found": 2, "cut": 0}
    assert figures["fields_a_second"] > 0
    assert "judged on" in table
