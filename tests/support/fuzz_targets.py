"""The readers that are fuzzed, each with small valid files, and how their parts become files."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bloodtune.data.dataset import load_dataset
from bloodtune.data.folder_listing import list_folder
from bloodtune.data.npz import load_images
from bloodtune.data.photographs import read_pages
from bloodtune.errors import InputError
from bloodtune.inference.classifier import WEIGHTS
from bloodtune.inference.default_model import CARD
from bloodtune.inference.manual_count import read_manual_count
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.inference.predictor import Image, Predictor
from bloodtune.space.recipe_file import BOOK, load_recipe
from bloodtune.training.trainer import Training
from bloodtune.tuning.sampler import StudySampler
from data_fixtures import make_arrays
from engine_fixtures import make_configuration, make_splits
from folder_fixtures import CLASSES, class_files, write_photographs
from fuzz_pictures import pictures
from fuzz_runs import read_records, resume, write_records, write_resumable
from model_fixtures import BLOOD, draw_tiles, make_model
from mutations import Files
from run_fixtures import write_recipe


@dataclass(frozen=True)
class Target:
    """A reader that is fuzzed.

    ``prepare`` writes what does not change into a folder and returns the valid examples, of which one is changed.
    ``read`` reads the files of a folder. It may raise what ``allowed`` names.
    """

    prepare: Callable[[Path], Sequence[Files]]
    read: Callable[[Path], object]
    allowed: tuple[type[Exception], ...] = (InputError,)


def write(folder: Path, files: Files) -> None:
    """Write files; those below a name such as ``x.npz`` are the parts of that one."""
    parts: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        whole, _, part = name.partition("//")
        if part:
            parts.setdefault(whole, {})[part] = content
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(_with_checksums(content) if name.endswith("sealed.png") else content)
    for whole, inside in parts.items():
        join = _join_tensors if whole.endswith("safetensors") else _zip
        (folder / whole).write_bytes(join(inside))


def _zip(parts: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _unzip(content: bytes, whole: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {f"{whole}//{name}": archive.read(name) for name in archive.namelist()}


def _join_tensors(parts: Files) -> bytes:
    return struct.pack("<Q", len(parts["header.json"])) + parts["header.json"] + parts["tensors"]


def _split_tensors(content: bytes, whole: str) -> dict[str, bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return {f"{whole}//header.json": content[8 : 8 + size], f"{whole}//tensors": content[8 + size :]}


def _with_checksums(content: bytes) -> bytes:
    """Return a PNG file with the right checksum for each chunk."""
    made, at = content[:8], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at + 4 : at + 8 + size]
        made += content[at : at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + size
    return made


def _arrays(folder: Path) -> list[Files]:
    arrays = make_arrays(copies=2)
    named = arrays | {"class_names": np.array(CLASSES)}
    named |= {f"{split}_groups": np.arange(6) for split in ("train", "val", "test")}
    files = []
    for content in (arrays, named):
        stream = io.BytesIO()
        np.savez_compressed(stream, **content)  # type: ignore[arg-type]
        files += [{"data.npz": stream.getvalue()}, _unzip(stream.getvalue(), "data.npz")]
    return files


def _read_arrays(folder: Path) -> None:
    load_images(folder / "data.npz")
    load_dataset(str(folder / "data.npz"))


def _read_picture(folder: Path) -> None:
    for file in folder.iterdir():
        list(read_pages(file, size=28, channels=3, crop=20, preview=64))
        list(read_pages(io.BytesIO(file.read_bytes()), size=24, channels=1))


def _recipes(folder: Path) -> list[Files]:
    shipped = [{"recipe.toml": (BOOK / f"{name}.toml").read_bytes()} for name in ("default", "mlnn", "smoke")]
    return [{"recipe.toml": write_recipe(folder).read_bytes()}, *shipped]


def _read_recipe(folder: Path) -> None:
    recipe = load_recipe(str(folder / "recipe.toml"))
    again = folder / "again.toml"
    again.write_text(recipe.text, encoding="utf-8")
    assert load_recipe(str(again)).parameters == recipe.parameters
    sampler = StudySampler(recipe, 0)
    for number in range(3):
        known = recipe.enqueued[number].configuration if number < len(recipe.enqueued) else None
        if known or recipe.sampler != "enqueued":
            sampler.ask(number, known)


def _tables(folder: Path) -> list[Files]:
    names = class_files(2)
    write_photographs(folder, names)
    rows = [f"{name},{at // 2},{('train', 'val')[at % 2]},p{at},{name[:2]}" for at, name in enumerate(names)]
    plain = [f'"{name}";{name.partition("/")[0]}' for name in names]
    texts = ["\n".join(["file_name,label,split,patient,class", *rows]), "\n".join(["path;class", *plain])]
    return [{"metadata.csv": text.encode()} for text in texts]


def _models(folder: Path) -> list[Files]:
    files: list[Files] = []
    for number, family in enumerate(("residual", "cnn", "mlnn")):
        made = make_model(folder / f"made-{number}", family=family)
        predictor = Predictor.load(made)
        features = predictor.network.examine(draw_tiles(60))[1]
        guard = Guard.fit(features, np.arange(60) % 8, features)
        assert guard is not None
        card, weights = (made / CARD).read_bytes(), (made / WEIGHTS).read_bytes()
        files.append({CARD: card, WEIGHTS: weights, GUARD: guard.to_bytes()})
        parts = _split_tensors(weights, WEIGHTS) | _split_tensors(guard.to_bytes(), GUARD)
        files.append({CARD: card} | parts)
    return files


def _read_model(folder: Path) -> None:
    predictor = Predictor.load(folder)
    shape = (predictor.size, predictor.size, predictor.channels)
    images = [Image("one", np.zeros(shape, np.uint8)), Image("two", np.full(shape, 200, np.uint8))]
    found = list(predictor.predict(images, workers=1))
    assert len(found) == 2
    json.dumps([predictor.caveat, predictor.untested, predictor.bloodmnist, predictor.own_threshold, predictor.crop])


def _training() -> Training:
    configuration = make_configuration("cnn", ema=0.1, width=4)
    return Training(configuration, make_splits(24, 12), max_epochs=3, seed=0)


def _checkpoints(folder: Path) -> list[Files]:
    training = _training()
    training.run_epoch()
    content = training.save()
    return [{"state": content}, _unzip(content, "state")]


def _restore(folder: Path) -> None:
    training = _training()
    training.restore((folder / "state").read_bytes())
    training.run_epoch()


def _counts(folder: Path) -> list[Files]:
    rows = [f"{name},{10 * at}" for at, name in enumerate(BLOOD)]
    return [{"count.csv": "\n".join(["class,count", *rows]).encode()}]


TARGETS = {
    "npz": Target(_arrays, _read_arrays),
    "photographs": Target(lambda folder: [{name: content} for name, content in pictures().items()], _read_picture),
    "recipes": Target(_recipes, _read_recipe),
    "tables": Target(_tables, list_folder),
    "records": Target(write_records, read_records),
    "provenance": Target(write_resumable, resume),
    "models": Target(_models, _read_model),
    "checkpoints": Target(_checkpoints, _restore, allowed=(Exception,)),  # a worker catches all
    "counts": Target(_counts, lambda folder: read_manual_count(folder / "count.csv", BLOOD)),
}
