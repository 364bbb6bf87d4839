"""analysis/report/outline.py: what the page says, and that it stands with little."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from model_choice import choose
from report.markdown import to_markdown
from report.material import Material
from report.outline import compose, write_report
from report_fixtures import make_material, report


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(make_material(tmp_path_factory.mktemp("runs")))


def with_summary(material: Material, **changes: Any) -> Material:
    return dataclasses.replace(material, summary=dataclasses.replace(material.summary, **changes))


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_report_leads_through_all_of_it(page: str) -> None:
    assert re.findall(r"^#+ (.*)$", page, re.MULTILINE) == [
        "Bloodtune, run a_run",
        "Result",
        "Data",
        "Search",
        "Reproduction of the published configurations",
        "The models side by side",
        "Errors",
        "Cost and gain",
        "Provenance",
        "How to cite",
        "Further figures",
    ]
    assert page.count("MD5") == page.count("Data: bloodmnist_rebuilt") == 1, "at the top, and nowhere else"
    assert page.count("00112233445566778899aabbccddeeff") == 2, "at the top and in the provenance"
    for number in ("1", "2", "2b", "3", "4", "5", "6", "7", "8"):
        assert page.count(f"**Table {number}.**") == 1
    assert "synthetic" not in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_report_without_published_networks_has_no_section_and_tables_on_them(tmp_path: Path) -> None:
    page = report(make_material(tmp_path, keep="search"))
    assert "Reproduction" not in page and "**Table 1.**" not in page and "**Table 2b.**" not in page
    assert "**Table 3.**" in section(page, "The models side by side")


def test_report_states_what_a_reader_must_know(page: str) -> None:
    reproduction = section(page, "Reproduction of the published configurations")
    assert "are the same function" in reproduction
    assert "trained once and shown twice" in reproduction
    assert "seed noise" in reproduction
    assert "16, 16, 64, 64 and 64 channels with a 128-128 head" in reproduction
    assert "SGD with a learning rate of 0.01 and momentum 0.9" in reproduction, "as in papers.toml"
    data = section(page, "Data")
    assert "gives 1,721 validation and 3,412 test images" in data
    assert "has 1,712 and 3,421, and" in data
    assert "2 of test also in train" in data
    assert "not the official choice" in data
    assert "Only after every choice was frozen was the test split opened, once" in page
    assert "Optimism." in section(page, "Cost and gain")
    assert "| processor Some CPU, cpus 2, gpus 0 " in section(page, "Provenance")


def test_report_gives_the_chosen_model(page: str) -> None:
    result = section(page, "Result")
    assert "**search #12** (residual network, 489,000 parameters), the best of 11 configurations" in result
    assert "The best published configuration, trained and chosen in the same way, is lightweight CNN" in result


def test_report_says_that_a_small_model_was_preferred(tmp_path: Path) -> None:
    material = make_material(tmp_path, figures={})
    contenders = list(material.summary.contenders.values())
    choices = choose(contenders, [2] * 8)
    small = choices.best
    assert choices.small is not None and small != choices.small.highest == "search #12"
    page = report(with_summary(material, choices=choices))
    result = section(page, "Result")
    assert f"The chosen model is **{small}** (" in result
    assert "of 11 configurations the one with the fewest parameters whose mean validation macro-F1" in result
    assert "one standard error below the highest (--prefer small)" in result and "% of search #12, that of" in result
    assert "the best of 11" not in result and "the search found nothing better" not in result
    assert "--prefer" not in report(material)


def test_report_shows_the_frontier_beside_the_comparison(tmp_path: Path) -> None:
    material = make_material(tmp_path, figures={"frontier": "The frontier."})
    side_by_side = section(report(material), "The models side by side")
    assert "(figures/frontier.png)" in side_by_side and "**Table 8.** Test accuracy in % with" in side_by_side


def test_report_gives_the_recipes_description_as_a_description(page: str) -> None:
    assert "Its recipe is described as “All four families; TPE proposes”." in section(page, "Search")
    assert page.count("All four families") == 1


def test_report_says_that_it_is_a_quick_look(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    assert "quick look" not in report(material)
    short = [
        dataclasses.replace(one, contender=dataclasses.replace(one.contender, max_epochs=4))
        for one in material.summary.tested
    ]
    page = report(with_summary(material, tested=short))
    assert "**This is a quick look: 3 seeds of at most 4 epochs each, where the search trained for up to 27." in page


def test_a_paper_of_few_epochs_is_no_quick_look(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    one, *rest = material.summary.tested
    short = dataclasses.replace(one, contender=dataclasses.replace(one.contender, max_epochs=10))
    choices = dataclasses.replace(material.summary.choices, best=one.contender.label)
    assert "quick look" not in report(with_summary(material, tested=[short, *rest], choices=choices))


def test_report_says_what_was_trained_for_longer_than_the_search_does(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    sentence = "search #12, 54 epochs is the best found configuration, retrained for longer than in the search."
    assert sentence not in report(material)
    one = next(one for one in material.summary.tested if one.contender.label == "search #12")
    longer = dataclasses.replace(one.contender, label="search #12, 54 epochs", search_val_macro_f1=None)
    tested = [*material.summary.tested, dataclasses.replace(one, contender=longer)]
    measured = {**material.summary.measured, longer.label: material.summary.measured[one.contender.label]}
    assert sentence in report(with_summary(material, tested=tested, measured=measured))


def test_report_puts_figures_in_their_sections(page: str) -> None:
    assert "![first samples](figures/first_samples.png)\n\nThe first ten \\* images." in section(page, "Data")
    assert "(figures/best_so_far.png)" in section(page, "Search")
    assert "(figures/confusion_lightweight.png)" in section(page, "Errors")
    assert section(page, "Further figures").count("![") == 1


def test_report_tables_have_equal_cells_in_each_row(page: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_report_says_synthetic(tmp_path: Path) -> None:
    page = report(make_material(tmp_path, synthetic=True))
    assert page.startswith("# Bloodtune, run a_run on synthetic data\n")
    assert "**These images are synthetic.**" in section(page, "Data")
    assert "Acevedo" not in page


def test_report_of_other_data_shows_no_published_value(tmp_path: Path) -> None:
    page = report(make_material(tmp_path, classes=2))
    assert "The published values are for BloodMNIST and say nothing about these classes" in page
    assert "1,721" not in page
    assert "88.5" not in page
    assert re.search(r"^\| class 0 +\| +1 \| +3 \| +5 \|$", page, re.MULTILINE)


def test_report_does_without_found_ones_and_without_figures(tmp_path: Path) -> None:
    page = report(make_material(tmp_path, keep="CNN config [12]", figures={}))
    assert "the search found nothing better" in page
    assert "![" not in page
    assert "Further figures" not in page


def test_report_does_without_published_ones(tmp_path: Path) -> None:
    page = report(make_material(tmp_path, keep="search"))
    assert "best published configuration, trained" not in page
    assert "Mean weighted F1" not in page


def test_write_report_writes_one_file(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    file = write_report(compose(material), tmp_path / "results")
    assert file == tmp_path / "results" / "report.md"
    assert file.read_text(encoding="utf-8") == report(material)


def test_report_says_what_was_found_in_a_folder_and_its_audit(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    search = material.summary.search
    copies = dict.fromkeys(("train", "val", "test", "train_val", "train_test", "val_test"), 0)
    data = search.provenance["data"] | {
        "audit": {
            "copies": copies | {"train": 2},
            "turned": copies | {"train_test": 1},
            "conflicts": 4,
            "group_count": 9,
            "groups": {"train_val": 1, "train_test": 0, "val_test": 0},
        },
        "notes": ["20 photographs in 8 classes, by metadata.csv; splits as given"],
        "class_counts": search.provenance["data"]["class_counts"] | {"val": [2] * 8},
    }
    search = dataclasses.replace(search, provenance=search.provenance | {"data": data})
    said = section(to_markdown(compose(with_summary(material, search=search))), "Data")
    for text in (
        "Exact copies: 2 within train. Turned or mirrored copies: 1 of test also in train. Images with a copy that has "
        "another label: 4. Groups: 9, 1 in train and val.",
        "- 20 photographs in 8 classes, by metadata.csv; splits as given.",
        "- The validation split has 16 images, 2 in its smallest class: a macro-F1 of 0.95 has a standard error",
    ):
        assert text in said


def test_report_says_what_validation_means_with_folds(tmp_path: Path) -> None:
    material = make_material(tmp_path)
    search = material.summary.search
    counts = search.provenance["data"]["class_counts"] | {"train": [4] * 8, "val": [2] * 8}
    data = search.provenance["data"] | {"preparation": {"folds": 5}, "class_counts": counts}
    assert "fold" not in report(material)
    search = dataclasses.replace(search, provenance=search.provenance | {"data": data})
    text = to_markdown(compose(with_summary(material, search=search)))
    assert "The search was scored on 5 folds. So is every retraining: 5 networks" in section(
        text, "The models side by side"
    )
    assert "- The 5 folds have 48 images, 6 in their smallest class: a macro-F1" in section(text, "Data")
