"""Published MedMNIST data sets: names, classes, file locations and verified download."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import runpy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bloodtune.errors import InputError, unknown_name
from bloodtune.files import home_folder

OFFICIAL = "bloodmnist"
SIZES = (28, 64, 128, 224)

# Seconds to connect (per address of the host) and to read. No retry: the synthetic data set is better than a long wait.
_TIMEOUT = (10, 20)


class UnavailableError(InputError):
    """A published file is not on this machine and could not be downloaded."""


@functools.cache
def medmnist_info() -> dict[str, dict[str, Any]]:
    """Return ``medmnist.INFO`` in 13 ms without importing medmnist, which takes 3 s and imports torch."""
    spec = importlib.util.find_spec("medmnist")
    assert spec is not None, "medmnist is a dependency of bloodtune"
    assert spec.origin is not None
    # info.py creates ~/.medmnist or warns that it cannot. We remove the new folder and hide the warning.
    root = home_folder() / ".medmnist"
    existed = os.path.exists(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info: dict[str, dict[str, Any]] = runpy.run_path(str(Path(spec.origin).with_name("info.py")))["INFO"]
    if not existed:
        with contextlib.suppress(OSError):
            root.rmdir()
    return info


def published_names() -> tuple[str, ...]:
    """Return the names of the supported sets: ``bloodmnist`` (28 pixels), ``bloodmnist_64``, ..."""
    sets = [name for name, entry in medmnist_info().items() if not _unfit(name, entry)]
    return tuple(name if size == SIZES[0] else f"{name}_{size}" for name in sets for size in SIZES)


def published_name(md5: str) -> str | None:
    """Return the name of the supported set whose file has this MD5, or None."""
    for name in published_names():
        base, _, size = name.partition("_")
        if medmnist_info()[base].get(f"MD5_{size}" if size else "MD5") == md5:
            return name
    return None


def is_bloodmnist(names: Sequence[str], split_sizes: object) -> bool:
    """Return whether images are BloodMNIST's, in any split, as their classes and the sizes of the splits say."""
    return tuple(names) == class_names(OFFICIAL) and split_sizes == medmnist_info()[OFFICIAL]["n_samples"]


def check_name(name: str) -> str:
    """Return the name of a published set as ``medmnist`` spells it: lower case, without ``_28``.

    Raises:
        InputError: no set has this name, or the set has 3-D images or several labels per image.
    """
    plain = name.lower().removesuffix("_28")
    if plain in published_names():
        return plain
    base = plain.partition("_")[0]
    if reason := _unfit(base, medmnist_info().get(base, {})):
        raise InputError(f"data set {name!r} cannot be used: {reason}")
    spelled = re.fullmatch(r"([a-z]+)[- ]?(\d+)", plain)  # bloodmnist224
    sizes = [known for known in published_names() if spelled and known.partition("_")[0] == spelled[1]]
    if spelled and sizes:
        wanted = f"{spelled[1]}_{spelled[2]}".removesuffix(f"_{SIZES[0]}")
        hint = f"did you mean {wanted!r}?" if wanted in sizes else f"allowed: {', '.join(sizes)}"
        raise InputError(f"unknown data set {name!r}; {hint}")
    # Suggest names of the same form: 11 names have no size, 33 have one.
    allowed = [known for known in ("synthetic", *published_names()) if ("_" in known) == ("_" in name)]
    raise InputError(unknown_name("data set", name, allowed) + "; or give the path of an .npz file")


def class_names(name: str) -> tuple[str, ...]:
    """Return the class names of a published set without details in parentheses."""
    labels = medmnist_info()[name]["label"]
    return tuple(_short(labels[str(index)]) for index in range(len(labels)))


def match_class_names(size: int, channels: int, classes: int, split_sizes: dict[str, int]) -> tuple[str, ...]:
    """Return the class names of the published set with these sizes, or ``class 0``, ... if there is none or several."""
    wanted = (channels, classes, split_sizes)
    matches = [
        name
        for name, entry in medmnist_info().items()
        if not _unfit(name, entry) and (entry["n_channels"], len(entry["label"]), entry["n_samples"]) == wanted
    ]
    if size in SIZES and len(matches) == 1:
        return class_names(matches[0])
    return tuple(f"class {index}" for index in range(classes))


def file_md5(path: Path) -> str:
    """Return the MD5 of a file (0.06 s for 35 MB).

    Raises:
        InputError: the file is missing, a folder, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; allowed: a MedMNIST .npz file") from None


def fetch(name: str) -> Path:
    """Return the verified file of a published set, ``~/.medmnist/<name>.npz``; download it if missing.

    Raises:
        InputError: a file exists there but is not the published one. It is not changed.
        UnavailableError: no file exists there and the download failed.
    """
    path = home_folder() / ".medmnist" / f"{name}.npz"
    base, _, size = name.partition("_")
    entry = medmnist_info()[base]
    md5 = entry[f"MD5_{size}" if size else "MD5"]
    if not os.path.exists(path):  # Path.exists raises if the folder is unreadable
        _download(entry[f"url_{size}" if size else "url"], md5, path)
    elif (found := file_md5(path)) != md5:
        raise InputError(
            f"{path} has MD5 {found}, but the published file has MD5 {md5}: move your file away to download the "
            f"published one, or pass --data {path} to use your file"
        )
    return path


def _download(url: str, md5: str, path: Path) -> None:
    # Imported here because together they take 0.2 s and only the first search downloads.
    import pooch
    import requests

    # pooch writes to a temporary name, checks the MD5 and only then moves the file into place.
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=_TIMEOUT)
    try:
        pooch.retrieve(url, f"md5:{md5}", fname=path.name, path=path.parent, downloader=downloader)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # pooch created it; rmdir keeps a folder with files
        reason = str(error).split(". ")[0]
        if isinstance(error, requests.RequestException):  # its message is a paragraph of urllib3's internals
            reason = type(error).__name__
            if error.response is not None:
                reason += f" {error.response.status_code}"
                error.response.close()  # pooch leaves it open
        raise UnavailableError(
            f"{path.stem} could not be downloaded from {url} ({reason}): pass --data PATH or --data "
            f"synthetic, or put the file with MD5 {md5} at {path}"
        ) from None


def _unfit(name: str, entry: dict[str, Any]) -> str:
    """Return the reason why a published set cannot be used, or an empty string."""
    if name.endswith("3d"):
        return "it is a 3-D set; allowed: 2-D images"
    if "multi-label" in entry.get("task", ""):
        return "it is a multi-label set; allowed: one label per image"
    return ""


def _short(label: str) -> str:
    """Cut a label at its parenthesis: "immature granulocytes(myelocytes, ...)" becomes "immature granulocyte"."""
    head, parenthesis, _ = label.partition("(")
    return head.strip().removesuffix("s") if parenthesis else head
