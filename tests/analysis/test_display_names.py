"""Names of data and families, and the sentence on official, rebuilt and synthetic data."""

from __future__ import annotations

from typing import Any

import medmnist
import pytest

from bloodtune.space.families import FAMILIES
from bloodtune.space.recipe_file import load_recipe
from display_names import FAMILY_NAMES, data_mark, data_sentence, is_blood, official_name
from summary_fixtures import CLASS_NAMES, fake_provenance


def provenance_of(**data: Any) -> dict[str, Any]:
    """Return a provenance on the rebuilt data, but for what ``data`` says."""
    provenance = fake_provenance()
    provenance["data"] |= data
    return provenance


def test_every_family_has_a_name_and_a_users_own_keeps_its_own() -> None:
    families = [*FAMILIES, *load_recipe("imagenet").parameters[0].choices]
    assert set(FAMILY_NAMES) == set(families)
    assert FAMILY_NAMES["mlnn"] == "MLNN"
    assert FAMILY_NAMES["my.nets:small"] == "my.nets:small"
    assert "my.nets:small" not in FAMILY_NAMES, "asking adds nothing"


@pytest.mark.parametrize(
    ("data", "mark"),
    [
        ({}, "bloodmnist_rebuilt, rebuilt split"),
        ({"class_names": ["a", "b"], "title": "my cells"}, "my cells, user-supplied data"),
        ({"class_names": list(CLASS_NAMES[::-1])}, "bloodmnist_rebuilt, user-supplied data"),
        ({"synthetic": True, "title": "synthetic"}, "Synthetic stand-in for BloodMNIST"),
        ({"synthetic": True, "title": "drawn"}, "drawn, synthetic"),
        ({"md5": medmnist.INFO["bloodmnist"]["MD5"]}, ""),
        ({"md5": medmnist.INFO["pathmnist"]["MD5_224"], "class_names": ["a", "b"]}, ""),
        (
            {"md5": medmnist.INFO["bloodmnist"]["MD5"], "synthetic": True, "title": "synthetic"},
            "Synthetic stand-in for BloodMNIST",
        ),
    ],
)
def test_data_that_are_not_official_have_a_mark(data: dict[str, Any], mark: str) -> None:
    assert data_mark(provenance_of(**data)) == mark


def test_the_sentence_on_synthetic_data_names_them() -> None:
    assert data_sentence(provenance_of(synthetic=True, title="drawn", md5="0123")) == (
        "Data: synthetic drawn (drawn by a program, no photographs; MD5 0123)."
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [("MD5", "BloodMNIST, 28 px"), ("MD5_64", "BloodMNIST, 64 px"), ("MD5_224", "BloodMNIST, 224 px")],
)
def test_an_official_file_is_known_by_its_md5(key: str, name: str) -> None:
    assert official_name(medmnist.INFO["bloodmnist"][key]) == name


@pytest.mark.parametrize("md5", ["", "0123", "BloodMNIST"])
def test_another_md5_is_of_no_official_file(md5: str) -> None:
    assert official_name(md5) is None


def test_the_classes_of_blood_may_come_as_any_sequence() -> None:
    assert is_blood(list(CLASS_NAMES)) and is_blood(tuple(CLASS_NAMES))
    assert not is_blood(CLASS_NAMES[:-1])


def test_data_sentence_tells_official_from_rebuilt() -> None:
    provenance = fake_provenance()
    assert data_sentence(provenance) == (
        "Data: bloodmnist_rebuilt (rebuilt split; MD5 00112233445566778899aabbccddeeff)."
    )
    own = {"data": provenance["data"] | {"class_names": ["a", "b"], "title": "my cells"}}
    assert data_sentence(own).startswith("Data: my cells (user-supplied data; MD5 ")
    md5 = medmnist.INFO["bloodmnist"]["MD5"]
    provenance["data"] |= {"title": "bloodmnist", "md5": md5}
    assert data_sentence(provenance) == f"Data: bloodmnist (official BloodMNIST, 28 px file; MD5 {md5})."
    provenance["data"] |= {"title": "breastmnist_64", "md5": medmnist.INFO["breastmnist"]["MD5_64"]}
    assert "official BreastMNIST, 64 px file" in data_sentence(provenance)
    assert data_sentence(fake_provenance(synthetic=True)).startswith("Data: synthetic stand-in for BloodMNIST (")


def test_is_blood_knows_the_classes() -> None:
    assert is_blood(CLASS_NAMES)
    assert not is_blood(["malignant", "normal, benign"])
    assert not is_blood(CLASS_NAMES[::-1])
