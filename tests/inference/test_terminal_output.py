"""The count in a terminal: images, unsure ones, the differential count, and fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from bloodtune.inference import terminal_output as screen_module
from bloodtune.inference.differential import Prediction, Tally, Unreadable
from bloodtune.inference.terminal_output import Screen
from model_fixtures import BLOOD
from writer_fixtures import CAVEAT, FIELDS, NAMES, SURE, TEXT, UNSURE, make_prediction, make_predictor, tally_of


def show(capsys: pytest.CaptureFixture[str], results: Sequence[Prediction | Unreadable], **options: Any) -> str:
    """Print results as the command does; return the lines of the screen."""
    predictor = make_predictor(**options)
    screen = Screen(predictor)
    for result in results:
        screen.add(result)
    screen.finish(tally_of(results, predictor.class_names))
    return capsys.readouterr().out


def test_no_name_reaches_the_terminal_as_more_than_text(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("\x1b[31mred\x07", "two\nlines")
    image = make_prediction("x/\u202e.jpg", 0.6, 0.4, class_names=names)
    out = show(capsys, [image, Unreadable("\x1b]0;title\x07.jpg", "a\x9bb")], class_names=names)
    assert not any(one in out for one in "\x1b\x07\x9b\u202e")
    for text in (r"\x1b[31mred\x07", r"two\nlines", r"\u202e.jpg", r"\x1b]0;title\x07.jpg: a\x9bb"):
        assert text in out


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_screen_has_a_line_for_an_image_with_both_choices(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in show(capsys, [SURE, UNSURE]).splitlines()]
    assert "a, 1.jpg malignant 0.875 benign 0.125" in lines, "the file without its folder"
    assert "b.jpg benign ? 0.625 malignant 0.375" in lines


def test_the_screen_shows_unsure_images_once_where_all_images_fit(capsys: pytest.CaptureFixture[str]) -> None:
    out = show(capsys, [SURE, UNSURE])
    assert out.count("b.jpg") == 1
    assert "Not sure" not in out and "lists all" not in out
    assert out.endswith(f"For research, not for diagnosis.\n{CAVEAT}\n")


def test_the_screen_shows_unsure_images_that_come_late(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_module, "SCREEN_IMAGES", 2)
    late = [make_prediction(f"late {number}.jpg", 0.6, 0.4) for number in range(3)]
    out = show(capsys, [SURE, SURE, SURE, *late, *[TEXT] * 3])
    assert "Not sure (below 0.75): check these yourself" in out
    assert "late 1.jpg" in out and "late 2.jpg" not in out
    assert "the first 2 of 6; --csv FILE or --json FILE lists all" in out
    assert "the first 2 of 3; --csv FILE or --json FILE lists all" in out
    assert out.count("c.jpg") == 2, "files that cannot be read have the same limit"


def test_the_screen_leaves_an_unsure_count_of_zero_empty(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in show(capsys, [SURE, UNSURE]).splitlines()]
    # Wilson's interval of 1 of 2.
    assert "benign 1 1 50.0 1.3–98.7 % of images" in lines
    assert "malignant 1 50.0 1.3–98.7 % of images" in lines


def test_the_screen_calls_a_count_of_blood_cells_a_differential(capsys: pytest.CaptureFixture[str]) -> None:
    cell = make_prediction("a.jpg", *[0.01] * 7, 0.93, class_names=BLOOD)
    assert "Differential count" in show(capsys, [cell], class_names=BLOOD)
    assert "Differential" not in show(capsys, [SURE])


def test_a_narrow_screen_cuts_no_flag_of_a_manual_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tally = Tally(BLOOD, manual=Counter(lymphocyte=90, monocyte=10))
    tally.counts.update(monocyte=3, erythroblast=900)
    Screen(make_predictor()).finish(tally)
    assert "<0.001*" in capsys.readouterr().out


def test_the_screen_without_an_image_has_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, []) == "0 images counted, 0 of them unsure (below 0.75). For research, not for diagnosis.\n"


def test_the_screen_takes_names_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    image = make_prediction("[red]a.jpg", 0.1, 0.9)
    assert "[red]a.jpg" in show(capsys, [image, Unreadable("[bold]b", "[i]damaged")])
    assert "[bold]b: [i]damaged" in show(capsys, [Unreadable("[bold]b", "[i]damaged")])


def test_the_screen_has_the_fields_to_check_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(screen_module, "SCREEN_IMAGES", 1)
    tally, screen = Tally(NAMES, finding=True), Screen(make_predictor())
    for result in FIELDS:
        tally.add(result)
        screen.add(result)
    screen.finish(tally)
    out = capsys.readouterr().out
    assert "b.jpg" in out and "1 of 2, those to check first; --json FILE lists all" in out
    assert "cells per field: 0.5 on average, 0 to 1" in out
    assert "f/c.jpg: out of focus" in out
    assert tally.fields[0].drawn == tally.fields[0].preview == b""
