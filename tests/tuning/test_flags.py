"""The help of the search: its groups, choices, defaults and examples; each flag is read in test_options.py."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from bloodtune.space.recipe_file import recipe_names
from bloodtune.tuning.flags import read_options, search_parser
from bloodtune.tuning.options import DEFAULT_RECIPE, FILES, SWITCH, WHAT, WHERE, SearchOptions

FIELDS = dataclasses.fields(SearchOptions)


def group_texts() -> dict[str, str]:
    """Return the help of each group of flags by the group's title."""
    text = search_parser().format_help().partition("\nexamples:")[0]
    parts = re.split(r"^([\w ]+):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line with which the parser ends at bad arguments."""
    with pytest.raises(SystemExit, match="2"):
        search_parser().parse_args(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_each_flag_stands_in_the_group_of_its_option() -> None:
    texts = group_texts()
    assert {WHAT, WHERE, FILES} <= set(texts)
    for field in FIELDS:
        flag = f"--{field.name.replace('_', '-')}"
        found = [title for title, text in texts.items() if re.search(rf"^  {flag}\b(?!-)", text, re.MULTILINE)]
        assert found == [field.metadata["group"]], flag


def test_the_help_names_the_recipes_that_are_there_and_the_default_is_one() -> None:
    (field,) = [field for field in FIELDS if field.name == "recipe"]
    names = f"a TOML file, or one of {', '.join(recipe_names())} (default: {DEFAULT_RECIPE})"
    assert field.metadata["help"] == names
    assert names in " ".join(group_texts()[WHAT].split())
    assert Path(DEFAULT_RECIPE).stem in recipe_names()


def test_listing_and_dry_run_are_flags_without_an_option() -> None:
    assert "--list" in group_texts()[FILES] and "--dry-run" in group_texts()[FILES]
    arguments = search_parser().parse_args(["--list", "--dry-run"])
    assert (arguments.list, arguments.dry_run) == (True, True)
    assert read_options(arguments) == SearchOptions()
    assert search_parser().parse_args([]).dry_run is False


def test_the_help_shows_what_kind_of_value_a_flag_takes() -> None:
    text = search_parser().format_help()
    for flag in (
        "--budget N",
        "--time-budget TIME",
        "--gpus-per-trial X",
        "--out DIR",
        "--resume NAME",
        "--storage URI",
    ):
        assert re.search(rf"^  {flag}\b", text, re.MULTILINE), flag
    assert "--precision {auto,float32,tf32,bfloat16,float16}" in text
    assert "--track {mlflow,wandb}" in text


@pytest.mark.parametrize("field", [field for field in FIELDS if field.default], ids=lambda field: field.name)
def test_the_default_that_the_help_names_is_the_default(field: dataclasses.Field[object]) -> None:
    (told,) = re.findall(r"\(default: ([^,)]+)\)", field.metadata["help"])
    assert field.metadata["kind"].parse(told) == field.default


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_default_of_an_option_is_an_allowed_value(field: dataclasses.Field[object]) -> None:
    kind = field.metadata["kind"]
    assert field.default is None or kind.admits(field.default)
    assert (kind is SWITCH) == (field.default is False)


def test_the_examples_in_the_help_can_be_typed() -> None:
    parser = search_parser()
    lines = [line.strip() for line in (parser.epilog or "").splitlines() if line.strip().startswith(parser.prog)]
    assert len(lines) >= 3
    for line in lines:
        words = shlex.split(re.split(r" {2,}", line.removeprefix(parser.prog).strip())[0])
        assert words
        read_options(parser.parse_args(words))


def test_a_flag_given_twice_has_its_last_value_and_trackers_add_up() -> None:
    arguments = search_parser().parse_args(["--budget", "3", "--track", "wandb", "--budget", "5", "--track", "mlflow"])
    options = read_options(arguments)
    assert (options.budget, options.track) == (5, ("wandb", "mlflow"))


def test_a_flag_cannot_be_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--warm", "one")
    assert line == f"{search_parser().prog}: unrecognized arguments: --warm one; see --help"


def test_a_value_that_cannot_be_read_is_told_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--checkpoint-every", "0s")
    allowed = "'0s': allowed are times above 0, such as 90s, 30m or 2h"
    assert line == f"{search_parser().prog}: argument --checkpoint-every: {allowed}; see --help"


def test_a_flag_without_its_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--budget").endswith("argument --budget: expected one argument; see --help")
