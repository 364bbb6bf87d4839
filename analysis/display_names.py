"""Names of the data and of the network families in tables, figures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodtune.data import medmnist


class _Names(dict[str, str]):
    # A family of the user's own keeps its name.
    def __missing__(self, family: str) -> str:
        return family


_LITE = "bloodtune.training.models.efficientnet_lite:lite0"
FAMILY_NAMES = _Names(
    {
        "mlnn": "MLNN",
        "cnn": "CNN",
        "lightweight": "lightweight CNN",
        "residual": "residual network",
        "resnet": "ResNet",
        f"{_LITE}_64": "EfficientNet-Lite0 with ImageNet weights, 64 pixels",
        f"{_LITE}_96": "EfficientNet-Lite0 with ImageNet weights, 96 pixels",
    }
)


def data_sentence(provenance: Mapping[str, Any]) -> str:
    """Return a sentence with the name and the MD5 of a run's data.

    ``provenance["data"]`` needs ``title``, ``md5`` and ``synthetic``. Official data has an MD5 of ``medmnist.INFO``.
    """
    data = provenance["data"]
    title, md5 = data["title"], data["md5"]
    if data["synthetic"]:
        name = "stand-in for BloodMNIST" if title == "synthetic" else title
        return f"Data: synthetic {name} (drawn by a program, no photographs; MD5 {md5})."
    official = official_name(md5)
    kind = f"official {official} file" if official else _kind(data)
    return f"Data: {title} ({kind}; MD5 {md5})."


def data_mark(provenance: Mapping[str, Any]) -> str:
    """Return the short mark of the data in files of figures and tables; an empty string for official data.

    The mark is the name of the data with ``synthetic``, ``rebuilt split`` (the classes are BloodMNIST's) or
    ``user-supplied data``.
    """
    data = provenance["data"]
    title = data["title"]
    if data["synthetic"]:
        return "Synthetic stand-in for BloodMNIST" if title == "synthetic" else f"{title}, synthetic"
    if official_name(data["md5"]):
        return ""
    return f"{title}, {_kind(data)}"


def _kind(data: Mapping[str, Any]) -> str:
    return "rebuilt split" if is_blood(data["class_names"]) else "user-supplied data"


def official_name(md5: str) -> str | None:
    """Return name and size of the MedMNIST file with this MD5, e.g. ``BloodMNIST, 28 px``, or None."""
    for info in medmnist.medmnist_info().values():
        for key, value in info.items():
            if key.startswith("MD5") and value == md5:
                return f"{info['python_class']}, {key.removeprefix('MD5').strip('_') or 28} px"
    return None


def is_blood(class_names: Sequence[str]) -> bool:
    """Return whether these are BloodMNIST's classes in their order, for which published scores exist."""
    return tuple(class_names) == medmnist.class_names(medmnist.OFFICIAL)
