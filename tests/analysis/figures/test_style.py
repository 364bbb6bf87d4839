"""The style of all figures: names, footers, and files that are the same on every machine."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from bloodtune.space.configuration import LOSSES, OPTIMIZERS
from contender_fixtures import CNN, LABELS, MARK, NAMES
from engine_fixtures import SGD, make_configuration
from figures.classification import confusion_matrices
from figures.style import (
    LOSS_NAMES,
    OPTIMIZER_NAMES,
    SMALL,
    TEXT,
    VERMILLION,
    CaptionedFigure,
    finish,
    grid_shape,
    long_class_names,
    loss_and_optimizer,
    new_figure,
    panel_title,
    percent,
    save_figure,
    short_class_names,
    show_image,
    to_svg,
)

SVG = "{http://www.w3.org/2000/svg}"


def small_figure(mark: str = "", **titles: str) -> CaptionedFigure:
    """Return a figure of a line with the gid ``trial 3`` and a caption with characters of XML."""
    figure, (axes,) = new_figure(3.5, 2.0)
    axes.plot([1, 2], [3, 4], gid="trial 3")
    return finish(figure, 'Scores of <a> & "b".', " A note. ", mark, {"trial 3": "trial 3: 0.5 & <best>"} | titles)


# Text


def test_every_loss_and_every_optimizer_has_a_name() -> None:
    assert (set(LOSS_NAMES), set(OPTIMIZER_NAMES)) == (set(LOSSES), set(OPTIMIZERS))


def test_a_configuration_is_named_by_loss_and_optimizer() -> None:
    assert loss_and_optimizer(make_configuration("cnn", **SGD, loss="nll")) == "NLLLoss + SGD"
    assert loss_and_optimizer(make_configuration("cnn", optimizer="adamw")) == "CrossEntropy + AdamW"


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("MLNN config 1", "Config-1: CrossEntropy + Adam"),
        ("lightweight CNN config 12", "Config-12: CrossEntropy + Adam"),
        ("lightweight CNN", "lightweight CNN"),
        ("search #7", "search #7"),
        ("config 1", "config 1"),
        ("MLNN config 1, 81 epochs", "MLNN config 1, 81 epochs"),
    ],
)
def test_a_panel_of_a_paper_is_named_as_in_its_table(label: str, title: str) -> None:
    assert panel_title(label, make_configuration("cnn")) == title


def test_a_panels_title_may_be_of_two_lines() -> None:
    assert panel_title("CNN config 2", make_configuration("cnn"), "\n") == "Config-2\nCrossEntropy + Adam"


def test_a_share_is_written_in_percent() -> None:
    assert (percent(0.9354), percent(0.01, 0), percent(1.0, 2), percent(-0.005)) == (
        *("93.5 %", "1 %", "100.00 %", "-0.5 %"),
    )


@pytest.mark.parametrize(
    ("panels", "columns", "shape"),
    [(1, 2, (1, 1)), (2, 2, (1, 2)), (3, 2, (2, 2)), (4, 2, (2, 2)), (10, 5, (2, 5)), (24, 6, (4, 6)), (7, 6, (2, 6))],
)
def test_a_grid_has_room_for_its_panels(panels: int, columns: int, shape: tuple[int, int]) -> None:
    assert grid_shape(panels, columns) == shape


def test_class_names_that_fit_stay_as_they_are() -> None:
    names = ["basophil", "immature granulocyte", "x" * 14]
    assert short_class_names(names) == ["basophil", "immature\ngranulocyte", "x" * 14]
    assert long_class_names(names) == ""


def test_a_class_name_of_many_words_ends_in_an_ellipsis() -> None:
    assert short_class_names(["one two three four five six"], 9) == ["one two\nthree fo…"]
    assert long_class_names(["one two three", "b"], 9, 1) == " Shortened: one two… = one two three."


def test_equal_class_names_get_their_numbers_and_others_do_not() -> None:
    assert short_class_names(["same", "other", "same"]) == ["0: same", "other", "2: same"]


def test_a_description_leaves_out_what_is_empty() -> None:
    figure, _ = new_figure(1, 1)
    assert CaptionedFigure(figure, "Caption.").description == "Caption."
    assert CaptionedFigure(figure, "Caption.", mark="drawn").description == "Caption. Data: drawn."
    assert CaptionedFigure(figure, "Caption.", "Note.", "drawn").description == "Caption. Note. Data: drawn."


# Figures


def test_a_figure_has_its_axes_row_by_row_without_lines_above_and_to_the_right() -> None:
    figure, panels = new_figure(7.0, 3.0, 2, 3)
    assert tuple(figure.get_size_inches()) == (7.0, 3.0)
    assert panels == figure.axes and len(panels) == 6
    assert [panels[index].get_subplotspec().rowspan.start for index in (2, 3)] == [0, 1]  # type: ignore[union-attr]
    for axes in panels:
        assert [axes.spines[side].get_visible() for side in ("top", "right", "left")] == [False, False, True]


def test_the_settings_of_a_user_change_no_figure() -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "xtick.labelsize": 30}):
        figure, (axes,) = new_figure(3.5, 2.0)
        axes.set_title("a")
    assert mpl.colors.to_hex(axes.get_facecolor()) == "#ffffff"
    figure.draw_without_rendering()
    assert {label.get_fontsize() for label in axes.get_xticklabels()} == {TEXT}


def test_a_mark_stands_below_the_figure_which_grows_for_it() -> None:
    figure, _ = new_figure(3.5, 2.0)
    drawn = finish(figure, "Caption.", " Note. ", "my cells, rebuilt split")
    assert figure.get_size_inches()[1] == pytest.approx(2.0 + 2.05 * SMALL / 72)
    (footer,) = figure.texts
    assert (footer.get_text(), footer.get_fontweight(), footer.get_color()) == (
        *("my cells, rebuilt split", "normal", "#404040"),
    )
    assert (drawn.note, drawn.mark) == ("Note.", "my cells, rebuilt split")


def test_the_mark_of_synthetic_data_is_bold_and_coloured() -> None:
    for mark in ("drawn, synthetic", "Synthetic stand-in"):
        (footer,) = small_figure(mark).figure.texts
        assert (footer.get_fontweight(), footer.get_color()) == ("bold", VERMILLION)


def test_a_figure_of_official_data_stays_as_it_is() -> None:
    drawn = small_figure("")
    assert tuple(drawn.figure.get_size_inches()) == (3.5, 2.0)
    assert list(drawn.figure.texts) == []


def test_a_mark_longer_than_the_figure_is_shortened_and_kept_whole_in_the_files() -> None:
    mark = "a very long name of a file " * 5 + "rebuilt split"
    drawn = small_figure(mark)
    (footer,) = drawn.figure.texts
    assert footer.get_text().endswith("…") and len(footer.get_text()) <= 3.5 * 72 / (SMALL * 0.68)
    assert drawn.mark == mark


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_a_grey_image_is_drawn_from_black_to_white(shape: tuple[int, ...]) -> None:
    _, (axes,) = new_figure(1, 1)
    show_image(axes, np.full(shape, 200, dtype=np.uint8))
    (image,) = axes.images
    assert (image.get_cmap().name, image.get_clim(), np.asarray(image.get_array()).shape) == ("gray", (0, 255), (4, 5))


def test_an_image_has_no_ticks_and_is_not_smoothed() -> None:
    _, (axes,) = new_figure(1, 1)
    show_image(axes, np.zeros((4, 5, 3), dtype=np.uint8))
    assert (list(axes.get_xticks()), list(axes.get_yticks())) == ([], [])
    assert axes.images[0].get_interpolation() == "nearest"
    assert all(spine.get_visible() for spine in axes.spines.values())


# Files


def test_files_are_named_after_the_figure_in_a_folder_that_is_made(tmp_path: Path) -> None:
    paths = save_figure(small_figure(), tmp_path / "a" / "b", "best_so_far")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["a/b/best_so_far.pdf", "a/b/best_so_far.png"]
    assert b"/Title (best so far)" in paths[0].read_bytes()


def test_an_svg_element_is_the_same_each_time() -> None:
    first, second = to_svg(small_figure()), to_svg(small_figure())
    assert first == second
    assert first.startswith("<svg ") and "<?xml" not in first and "metadata" not in first


def test_an_svg_element_has_the_width_of_a_page_and_its_caption_as_label() -> None:
    svg = ET.fromstring(to_svg(small_figure()))
    assert (svg.get("role"), svg.get("aria-label")) == ("img", 'Scores of <a> & "b".')
    assert (svg.get("width"), svg.get("height"), svg.get("style")) == (None, None, None)


def test_an_artist_with_a_title_has_hover_text_and_the_first_word_of_its_gid_as_class() -> None:
    svg = ET.fromstring(to_svg(small_figure()))
    (group,) = [group for group in svg.iter(f"{SVG}g") if group.get("class")]
    title = group[0]
    assert (group.get("class"), title.tag, title.text) == ("trial", f"{SVG}title", "trial 3: 0.5 & <best>")


def test_no_group_of_an_svg_element_has_an_id() -> None:
    svg = ET.fromstring(to_svg(small_figure("drawn")))
    groups = list(svg.iter(f"{SVG}g"))
    assert groups and not [group.get("id") for group in groups if group.get("id")]


def test_save_figure_writes_the_same_pdf_and_png_each_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        matrices = confusion_matrices("CNN", CNN[:1], LABELS, NAMES, MARK)
        pdf, png = save_figure(matrices, tmp_path / folder, "cnn_matrix")
        assert (pdf.name, png.name) == ("cnn_matrix.pdf", "cnn_matrix.png")

    assert b"CreationDate" not in pdf.read_bytes()
    for name in (pdf.name, png.name):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(300 * 3.5, abs=1)
        assert image.info["Description"] == matrices.description


def test_modules_import_without_torch_ray_or_pyplot() -> None:
    code = (
        "import sys, figures.classification, figures.scores, figures.search; "
        "print([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules])"
    )

    analysis = Path(__file__).parents[3] / "analysis"
    done = subprocess.run([sys.executable, "-c", code], cwd=analysis, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_short_class_names_fit_two_lines_and_stay_different() -> None:
    names = ["immature granulocyte", "a", "colorectal adenocarcinoma epithelium"]

    assert short_class_names(names) == ["immature\ngranulocyte", "a", "colorectal\nadenocarcinom…"]
    assert short_class_names(["left adenocarcinoma", "left adenocarcinomas"], 9) == [
        "0: left\nadenocar…",
        "1: left\nadenocar…",
    ]
    assert short_class_names(names[2:], width=12, lines=1) == ["colorectal…"]
    assert long_class_names(["a", "b c"]) == ""
    assert long_class_names(["abcdefgh"], width=4) == " Shortened: abc… = abcdefgh."
