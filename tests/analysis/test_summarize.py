"""The command line of the summary: what it takes, what it refuses, and which trials it retrains."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import summarize
from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.medmnist import medmnist_info
from bloodtune.data.preparation import Preparation
from bloodtune.run.directory import RunDirectory
from bloodtune.run.provenance import describe_data
from bloodtune.run.records import COMPLETE, PRUNED
from bloodtune.space.recipe_file import load_recipe
from candidates import Settings, retrained_found, retrained_longer, retrained_published
from contender_labels import FOUND
from run_fixtures import make_searcher, report, write_data
from summary_data import SearchRecords
from summary_fixtures import CLASS_NAMES, fake_contenders, fake_run

SETTINGS = Settings(top=1, seeds=1, longer=2, epochs=None, workers=None)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Make a run of two trials on a data file that exists."""
    searcher = make_searcher(tmp_path)
    for trial_id in "ab":
        searcher.suggest(trial_id)
        searcher.on_trial_complete(trial_id, report([1, 2, 3], 0.5))
    data = describe_data(load_dataset(str(write_data(tmp_path))))
    searcher.run.write_json("provenance.json", {"max_epochs": 3, "workers": 1, "data": data})
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
    searcher.run.write_json("provenance.json", {"max_epochs": 3, "workers": 1, "data": data})
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
    labels = [candidate.label for candidate in retrained_published(SearchRecords.read(run), SETTINGS, CLASS_NAMES)]
    numbered = [f"{family} config {number}" for family in ("MLNN", "CNN") for number in (1, 2, 3, 4)]
    assert labels == [*numbered, "lightweight CNN"]


def test_a_label_of_the_papers_on_another_configuration_is_not_theirs(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    sampled = next(trial for trial in run.trials() if not trial.label and trial.state == COMPLETE)
    run.append_trial(dataclasses.replace(sampled, trial=99, label="CNN config 1", best_val_macro_f1=0.999))
    published = retrained_published(SearchRecords.read(run), SETTINGS, CLASS_NAMES)
    found = retrained_found(SearchRecords.read(run), load_recipe("default"), SETTINGS, published)
    searched = {candidate.label: candidate.search_val_macro_f1 for candidate in [*published, *found]}
    assert searched["CNN config 1"] != 0.999
    assert searched["search #99"] == 0.999


def test_each_family_has_its_best_trial_among_the_finalists(tmp_path: Path) -> None:
    search, recipe = SearchRecords.read(fake_run(tmp_path / "run")), load_recipe("default")
    one = next(trial for trial in search.trials if not trial.label and trial.state == COMPLETE)
    others = {trial.configuration.family: trial.configuration for trial in search.trials}
    made = [  # configuration, epochs, score
        (one.configuration, 27, 0.96),
        (one.configuration, 6, 0.95),
        (one.configuration, 6, 0.94),
        (others["cnn"], 6, 0.90),
        (others["mlnn"], 2, 0.97),
    ]
    trials = []
    for number, (configuration, epochs, score) in enumerate(made):
        changes = {"trial": number, "configuration": configuration, "epochs": epochs, "best_val_macro_f1": score}
        trials.append(dataclasses.replace(one, **changes, state=COMPLETE if epochs == 27 else PRUNED))
    search = dataclasses.replace(search, trials=trials)
    for top, expected in ((1, [0]), (2, [0, 3]), (3, [0, 1, 3]), (9, [0, 1, 2, 3, 4])):
        found = retrained_found(search, recipe, dataclasses.replace(SETTINGS, top=top), [])
        assert [candidate.label for candidate in found] == [f"search #{number}" for number in expected]


def test_the_best_found_one_is_trained_once_more_over_longer() -> None:
    contenders = [one.contender for one in fake_contenders()[0]]
    found = [contender for contender in contenders if contender.origin == FOUND]
    best = max(found, key=lambda contender: contender.mean_val_macro_f1)
    (candidate,) = retrained_longer(found, 3)
    assert (candidate.label, candidate.epochs) == (f"{best.label}, 81 epochs", 81)
    assert (candidate.origin, candidate.configuration) == (FOUND, best.configuration)
    assert candidate.search_val_macro_f1 is None, "the search never saw it trained so long"
    assert retrained_longer(found, 1) == retrained_longer([], 3) == []


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
    data = run.read_json("provenance.json")["data"]
    control.write_json("provenance.json", {"data": data | {"folds": "0123"}})
    assert "--control: run control used other folds; " in refusal(capsys, str(run.path), "--control", str(control.path))


def test_published_configurations_are_retrained_where_the_classes_are_bloodmnists_or_on_request(tmp_path: Path) -> None:
    search = SearchRecords.read(fake_run(tmp_path / "run"))
    others, asked = ("class 0", "class 1"), dataclasses.replace(SETTINGS, published=True)
    assert len(retrained_published(search, SETTINGS, CLASS_NAMES)) == 9
    assert retrained_published(search, SETTINGS, others) == []
    assert len(retrained_published(search, asked, others)) == 9
    assert retrained_published(search, dataclasses.replace(SETTINGS, published=False), CLASS_NAMES) == []


def test_without_published_candidates_the_best_trial_is_retrained_even_if_a_paper_has_it(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    paper = next(trial for trial in run.trials() if trial.trial == 2)
    run.append_trial(dataclasses.replace(paper, trial=99, state=COMPLETE, epochs=27, best_val_macro_f1=0.999))
    search, recipe = SearchRecords.read(run), load_recipe("default")
    (best,) = retrained_found(search, recipe, SETTINGS, [])
    assert (best.label, best.configuration) == ("search #99", paper.configuration)
    published = retrained_published(search, SETTINGS, CLASS_NAMES)
    assert retrained_found(search, recipe, SETTINGS, published)[0].label != "search #99"


def test_data_that_is_elsewhere_is_named_with_data(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = run.read_json("provenance.json")["data"]
    (tmp_path / "moved").mkdir()
    moved = Path(known["source"]).rename(tmp_path / "moved" / "cells.npz")
    told = f"{known['source']}, the data of the search, is not here; --data FILE names it (MD5 {known['md5']})"
    assert told in refusal(capsys, str(run.path))
    search = SearchRecords.read(run)
    assert summarize._load_data(search, run, str(moved)).md5 == known["md5"]
    other = write_data(tmp_path / "moved", seed=5)
    assert f"but the search used data with MD5 {known['md5']}" in refusal(capsys, str(run.path), "--data", str(other))
    assert "cells.npy cannot be read" in refusal(capsys, str(run.path), "--data", str(moved.with_suffix(".npy")))


def test_folds_that_are_drawn_otherwise_than_in_the_search_are_refused(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run.read_json("provenance.json")
    data = record["data"] | {"preparation": {"folds": 3}, "folds": "0123"}
    run.write_json("provenance.json", record | {"max_epochs": 3, "workers": 1, "data": data})
    assert "the folds differ from those of the run" in refusal(capsys, str(run.path))


def test_an_official_file_of_another_machine_is_found_in_the_home_folder(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(source: str, preparation: Preparation) -> Dataset:
        asked.append(source)
        return dataclasses.replace(load_dataset(str(data)), md5=official)

    data = run.read_json("provenance.json")["data"]["source"]
    official = medmnist_info()["bloodmnist"]["MD5"]
    known = {"source": "/elsewhere/bloodmnist.npz", "md5": official, "synthetic": False}
    known |= {"title": "bloodmnist"}
    run.write_json("provenance.json", {"max_epochs": 3, "workers": 1, "data": known})
    monkeypatch.setattr(summarize, "load_dataset", load)
    summarize._load_data(SearchRecords.read(run), run, None)
    assert asked == ["bloodmnist"], "which load_dataset looks for in ~/.medmnist"


def test_an_unknown_preference_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        summarize.main(["--prefer", "fast"])
    err = capsys.readouterr().err
    assert "--prefer" in err and "fast" in err and "best, small" in err.replace("'", "") and len(err.splitlines()) == 1


def test_only_best_and_published_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        summarize.main(["--only-best", "--published"])
    assert "not allowed with argument" in capsys.readouterr().err
