"""The summary of a search, from its command line to the report."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from command_fixtures import SUMMARIZE, run_command


def test_the_summary_writes_the_paper_and_a_second_call_only_redraws(folder: Path) -> None:
    command = "runs/one --quick --epochs 1 --longer 2 --workers 2 --published"
    code, _, err = run_command(folder, command, SUMMARIZE)
    assert code == 0, err
    results = folder / "results" / "one-quick"
    page = (results / "report.html").read_text()
    assert page.count('alt="what the network looked at"') == page.count('alt="test image'), "beside every mistake"
    for name in (
        "report.md",
        "choices.json",
        "tables/table3_f1.tex",
        "figures/best_so_far.pdf",
        "figures/frontier.png",
    ):
        assert (results / name).stat().st_size > 0
    for place in ("best", "mlnn", "cnn", "lightweight"):
        assert (results / "models" / place / "model.safetensors").exists()
    card = json.loads((results / "models" / "best" / "model.json").read_text())
    assert 0 < card["threshold"] <= 1 and card["run"] == "one" and "source" not in card["data"]
    assert os.readlink(folder / "results" / "latest") == "one-quick"
    scores = json.loads((results / "choices.json").read_text())["mean_val_macro_f1"]
    assert sum(label.endswith(", 2 epochs") for label in scores) == 1
    told = [tuple(map(int, counts)) for counts in re.findall(r"retraining: (\d+)/(\d+)", err)]
    assert told[-1] == (told[0][1] + 1,) * 2, "the longer one follows from the found ones"
    assert scores["MLNN config 1"] == scores["MLNN config 3"], "one function, trained once"
    assert scores["MLNN config 1"] != scores["MLNN config 2"]
    first = (results / "report.md").read_bytes()
    code, _, err = run_command(folder, command, SUMMARIZE)
    assert code == 0, err
    assert "retraining: 0/0" in err
    assert "test split: 0/0" in err
    assert (results / "report.md").read_bytes() == first


def test_only_best_retrains_the_found_model_alone(folder: Path) -> None:
    code, _, err = run_command(
        folder, "runs/one --only-best --seeds 1 --epochs 1 --workers 1 --prefer small", SUMMARIZE
    )
    assert code == 0, err
    choices = json.loads((folder / "results" / "one" / "choices.json").read_text())
    best = json.loads((folder / "runs" / "one" / "best.json").read_text())
    assert list(choices["mean_val_macro_f1"]) == [f"search #{best['trial']}"]
    report = (folder / "results" / "one" / "report.md").read_text()
    assert "## Reproduction" not in report
    card = json.loads((folder / "results/one/models/best/model.json").read_text())
    assert "search" not in card, "this model was retrained and tested"
    assert choices["settings"]["prefer"] == "small" and choices["small"]["highest"] == choices["best"]
    assert "(--prefer small)" in card["choice"] and card["choice"] in report
