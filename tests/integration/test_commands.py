"""The command line of the search: its answers to good and bad input."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from bloodtune import search
from bloodtune.run.directory import RunDirectory
from command_fixtures import run_command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--recipe nothing.toml", "no recipe 'nothing.toml': give a path, or one of cnn, default, "),
        ("--resume nothing", "no run at runs/nothing; runs in folder runs: "),
        ("--list --out nowhere", "no folder nowhere; give the folder of the runs with --out"),
        ("--data absent.npz", "absent.npz"),
        ("--out tiny0.npz/runs --data tiny0.npz", "tiny0.npz/runs cannot be written: "),
        ("--resume one --data tiny1.npz", "the run belongs to other data: "),
        ("--resume one --recipe tpe.toml", "--recipe cannot be given with --resume: the run keeps its own"),
        ("--resume one --warm-start one", "--warm-start cannot be given with --resume"),
        ("--data tiny0.npz --warm-start nothing", "no run at runs/nothing; runs in folder runs: "),
        ("--recipe mlnn --warm-start one --data tiny0.npz", "no configuration of this run can be tried here: trial "),
        ("--resume one --crop 9", "--crop cannot be given with --resume: the run keeps its own"),
        ("--resume one --drop-copies", "--drop-copies cannot be given with --resume: the run keeps its own"),
        ("--resume one --without a", "--without cannot be given with --resume: the run keeps its own"),
        ("--data tiny0.npz --size 64", "--size 64: allowed only with a folder of photographs, and "),
        ("--resume one --max-epochs 9", "--max-epochs cannot be given with --resume"),
        ("--resume one --seed 4", "--seed 4: run one has seed 3 and keeps it"),
        ("--resume one --precision tf32", "--precision tf32: run one trains in "),
        ("--data tiny0.npz --precision tf32", "precision tf32: a CPU trains in float32 or bfloat16"),
        ("--resume one --budget 4", "--budget 4: the run has 8 finished trials already"),
        ("--resume ''", "--resume: the name of a run is empty"),
        ("--data tiny0.npz --address ray://localhost:10001", "Ray's client protocol cannot be used"),
        ("--data tiny0.npz --address nonsense", "no Ray cluster answers at nonsense"),
        ("--data tiny0.npz --address localhost:1", "no Ray cluster answers at localhost:1: "),
        ("--data tiny0.npz --address localhost:six", "no Ray cluster answers at localhost:six: "),
        ("--data tiny0.npz --storage tiny0.npz", "tiny0.npz cannot be written: "),
        ("--data tiny0.npz --name up/down", "run name 'up/down': allowed are letters, digits"),
        ("--data tiny0.npz --name latest", "run name 'latest': "),
        ("--data tiny0.npz --name one --recipe tpe.toml", "run runs/one exists; choose another --name or --resume one"),
        ("--data tiny0.npz --gpus-per-trial 1", "--gpus-per-trial 1: this machine has 0 GPUs; leave it out, or use 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Path,
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert search.main(shlex.split(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("bloodtune: ")
    assert message in err
    assert sorted(folder.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--bugdet 3", "unrecognized arguments: --bugdet 3"),
        ("--bud 3", "unrecognized arguments: --bud 3"),
        ("--track neptune", "argument --track: invalid choice: 'neptune' (choose from "),
        ("--precision int8", "argument --precision: invalid choice: 'int8' (choose from "),
        ("--seed -1", "'-1': allowed are whole numbers from 0"),
        ("--gpus-per-trial inf", "'inf': allowed are numbers from 0 to 1"),
        ("--time-budget soon", "'soon': allowed are times above 0, such as 90s, 30m or 2h"),
        ("--workers 0", "'0': allowed are whole numbers from 1"),
        ("--gpus-per-trial 2", "'2': allowed are numbers from 0 to 1"),
        ("--gpus-per-trial -1", "'-1': allowed are numbers from 0 to 1"),
        ("--budget 0", "'0': allowed are whole numbers from 1"),
        ("--budget -3", "'-3': allowed are whole numbers from 1"),
        ("--budget many", "'many': allowed are whole numbers from 1"),
    ],
)
def test_a_flag_that_cannot_be_read_is_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        search.main(shlex.split(arguments))
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_run_that_is_searched_by_another_process_is_refused(
    folder: Path,
    finished: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with finished.lock():
        assert search.main(["--resume", "one", "--budget", "9"]) == 2
    assert capsys.readouterr().err == "bloodtune: run one is in use by another search\n"


def test_a_resumed_run_knows_where_its_data_moved(folder: Path, finished: RunDirectory) -> None:
    moved = shutil.copyfile(folder / "tiny0.npz", folder / "moved.npz")
    before = finished.trials()
    code, _, err = run_command(folder, "--resume one --budget 9 --data moved.npz")
    assert code == 0, err
    assert finished.read_json("provenance.json")["data"]["source"] == str(moved)
    after = finished.trials()
    assert after[:8] == before
    assert sorted(record.trial for record in after) == list(range(9)), "the one that the larger budget adds"


def test_a_resumed_run_keeps_its_precision_and_one_without_gets_it_measured(
    folder: Path, finished: RunDirectory
) -> None:
    record = finished.read_json("provenance.json")
    finished.write_json("provenance.json", record | {"precision": "bfloat16", "plain_layers": []})
    code, _, err = run_command(folder, "--resume one --budget 9")
    assert code == 0, err
    assert "precision bfloat16: that of the run" in err
    assert finished.read_json("provenance.json")["precision"] == "bfloat16"
    older = {key: value for key, value in record.items() if key not in ("precision", "plain_layers", "reasons")}
    finished.write_json("provenance.json", older)
    code, _, err = run_command(folder, "--resume one --budget 10 --precision float32")
    assert code == 0, err
    assert re.search("^precision float32: as asked for; .*ms per step", err, re.MULTILINE)
    assert finished.read_json("provenance.json")["precision"] == "float32"


def test_dry_run_prints_the_plan_and_writes_nothing(folder: Path) -> None:
    code, out, err = run_command(folder, "--data tiny0.npz --recipe tpe.toml --dry-run --out elsewhere")
    assert (code, err) == (0, "")
    assert "at most 3 epochs, rungs at 1" in out
    assert re.search(r"^precision (float32|bfloat16): .+ms per step: cnn ", out, re.MULTILINE)
    assert re.search(r"^  learning_rate +0.0001 to 0.02, log$", out, re.MULTILINE)
    assert not (folder / "elsewhere").exists()
