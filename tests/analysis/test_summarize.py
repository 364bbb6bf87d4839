"""The command line of the summary: what it takes, what it refuses, and which trials it retrains."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import summarize
from bloodtune.data.dataset import load_dataset
from bloodtune.run.directory import RunDirectory
from bloodtune.run.provenance import describe_data
from bloodtune.run.records import COMPLETE
from bloodtune.space.recipe_file import load_recipe
from contender_labels import FOUND
from run_fixtures import make_searcher, report, write_data
from summary import SearchRecords
from summary_fixtures import fake_contenders, fake_run

SETTINGS = summarize.Settings(top=1, seeds=1, longer=2, epochs=None, workers=None)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Make a run of two trials on a data file that exists."""
    searcher = make_searcher(tmp_path)
    for trial_id in "ab":
        searcher.suggest(trial_id)
        searcher.on_trial_complete(trial_id, report([1, 2, 3], 0.5))
    data = describe_data(load_dataset(str(write_data(tmp_path))))
    searcher.run.write_json("provenance.json", {"data": data})
    return searcher.run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert summarize.main(arguments) == 2
    assert not Path("results").exists(), "nothing is written"
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_a_run_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"no run at {tmp_path / 'absent'}" in refusal(capsys, str(tmp_path / "absent"))


def test_a_run_without_a_score_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = make_searcher(tmp_path)
    searcher.suggest("a")
    searcher.on_trial_complete("a", None, error=True)
    data = describe_data(load_dataset(str(write_data(tmp_path))))
    searcher.run.write_json("provenance.json", {"data": data})
    assert "run run has no trial with a score yet" in refusal(capsys, str(searcher.run.path))


def test_data_that_changed_since_the_search_is_refused(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads((run.path / "provenance.json").read_text())
    Path(known["data"]["source"]).write_bytes(write_data(run.path, seed=5).read_bytes())
    assert f"but the search used data with MD5 {known['data']['md5']}; restore" in refusal(capsys, str(run.path))


def test_an_output_folder_that_cannot_be_written_is_refused(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert "file is not a writable folder" in refusal(capsys, str(run.path), "--out", str(tmp_path / "file"))


def test_the_published_candidates_come_in_the_papers_order(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    labels = [candidate.label for candidate in summarize._published(SearchRecords.read(run), SETTINGS)]
    numbered = [f"{family} config {number}" for family in ("MLNN", "CNN") for number in (1, 2, 3, 4)]
    assert labels == [*numbered, "lightweight CNN"]


def test_a_label_of_the_papers_on_another_configuration_is_not_theirs(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    sampled = next(trial for trial in run.trials() if not trial.label and trial.state == COMPLETE)
    run.append_trial(dataclasses.replace(sampled, trial=99, label="CNN config 1", best_val_macro_f1=0.999))
    candidates = [
        *summarize._published(SearchRecords.read(run), SETTINGS),
        *summarize._found(SearchRecords.read(run), load_recipe("default"), SETTINGS),
    ]
    searched = {candidate.label: candidate.search_val_macro_f1 for candidate in candidates}
    assert searched["CNN config 1"] != 0.999
    assert searched["search #99"] == 0.999


def test_the_best_found_one_is_trained_once_more_over_longer() -> None:
    contenders = [one.contender for one in fake_contenders()[0]]
    found = [contender for contender in contenders if contender.origin == FOUND]
    best = max(found, key=lambda contender: contender.mean_val_macro_f1)
    (candidate,) = summarize._longer(found, 3)
    assert (candidate.label, candidate.epochs) == (f"{best.label}, 81 epochs", 81)
    assert (candidate.origin, candidate.configuration) == (FOUND, best.configuration)
    assert candidate.search_val_macro_f1 is None, "the search never saw it trained so long"
    assert summarize._longer(found, 1) == summarize._longer([], 3) == []


def test_a_control_on_other_data_or_with_a_sampler_is_refused(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir(exist_ok=True)
    control = fake_run(tmp_path / "runs" / "control")
    assert "--control: run control used other data; " in refusal(capsys, str(run.path), "--control", str(control.path))
    control.write_json("provenance.json", run.read_json("provenance.json"))
    shutil.copyfile(run.path / "recipe.toml", control.path / "recipe.toml")
    err = refusal(capsys, str(run.path), "--control", str(control.path))
    assert "--control: run control used sampler tpe; search with --recipe random" in err
