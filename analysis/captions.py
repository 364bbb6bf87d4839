"""The sentences that tables, figures and report share: which data, and how its classes are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodtune.data import medmnist

FAMILY_NAMES = {
    "mlnn": "MLNN",
    "cnn": "CNN",
    "lightweight": "lightweight CNN",
    "residual": "residual network",
}


def data_sentence(provenance: Mapping[str, Any]) -> str:
    """Name the data of a run for a caption; the word ``synthetic`` is in it when the data is.

    ``provenance["data"]`` needs ``title``, ``md5`` and ``synthetic``. Official is what has an MD5 of
    ``medmnist.INFO``.
    """
    data = provenance["data"]
    title, md5 = data["title"], data["md5"]
    if data["synthetic"]:
        name = "stand-in for BloodMNIST" if title == "synthetic" else title
        return f"Data: synthetic {name} (drawn by a program, no photographs; MD5 {md5})."
    official = official_name(md5)
    kind = f"official {official} file" if official else "rebuilt or user-supplied split"
    return f"Data: {title} ({kind}; MD5 {md5})."


def official_name(md5: str) -> str | None:
    """Return name and size of the MedMNIST file with this MD5, e.g. ``BloodMNIST, 28 px``; else None."""
    for info in medmnist.medmnist_info().values():
        for key, value in info.items():
            if key.startswith("MD5") and value == md5:
                return f"{info['python_class']}, {key.removeprefix('MD5').strip('_') or 28} px"
    return None


def is_blood(class_names: Sequence[str]) -> bool:
    """Tell whether these are the classes of BloodMNIST, in order: only then published values compare."""
    return tuple(class_names) == medmnist.class_names(medmnist.OFFICIAL)
