"""Collections of tables, fitted once and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from bloodtune.files import replace
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.sampler import RecipeSpace, Space
from curves.foreign import (
    IMAGENET,
    IMAGENET_SPACE,
    LCBENCH,
    RECIPE,
    TASKSET,
    TASKSET_SPACE,
    LcbenchSurrogate,
    imagenet_rows,
    lcbench_space,
    taskset_rows,
)
from curves.own import own_files, own_names, own_rows
from curves.spaces import PointSpace
from curves.surrogate import ForestSurrogate, Rows, held_out_error
from curves.tables import POOL, Table, draw_pool

FOREIGN = ("taskset", "imagenet", "lcbench")


class Fitted:
    """A collection: its tables, and per task the surrogate's error on configurations that it has not seen."""

    def __init__(self, name: str, tables: list[Table], errors: dict[str, dict[str, float]]) -> None:
        self.name = name
        self.tables = tables
        self.errors = errors


def load(name: str, foreign: Path | None, *, pool: int = POOL) -> Fitted:
    """Return a collection by name, from the cache if its files and the code that fits it are the same.

    Raises:
        InputError: files are missing, or our own table has too few rows.
    """
    files = _files(name, foreign)
    code = sorted(Path(__file__).parent.glob("*.py"))
    content = [file.read_bytes() for file in (*files, *code) if file.is_file()]
    digest = hashlib.sha256(b"".join([f"{name} {pool}".encode(), *content])).hexdigest()
    kept = Path(platformdirs.user_cache_dir("bloodtune")) / "curves" / f"{name}-{digest[:16]}.pickle"
    if kept.is_file():
        found = pickle.loads(kept.read_bytes())
        assert isinstance(found, Fitted)
        return found
    fitted = _fit(name, foreign, pool)
    kept.parent.mkdir(parents=True, exist_ok=True)
    replace(kept, pickle.dumps(fitted))
    return fitted


def _files(name: str, foreign: Path | None) -> list[Path]:
    if foreign is None or name not in FOREIGN:
        return own_files(name)
    if name == "lcbench":
        return sorted((foreign / LCBENCH).glob("*.*"))
    return [foreign / (TASKSET if name == "taskset" else IMAGENET)]


def _fit(name: str, foreign: Path | None, pool: int) -> Fitted:
    if foreign is None or name not in FOREIGN:
        recipe = load_recipe("default")
        return _fit_rows(name, {name: own_rows(name)}, recipe, RecipeSpace(recipe), pool)
    if name == "lcbench":
        space, tasks = lcbench_space(foreign)
        drawn = draw_pool(RECIPE, space, pool)
        tables = [Table(name, task, RECIPE, space, LcbenchSurrogate(foreign, task), drawn) for task in tasks]
        return Fitted(name, tables, {})
    if name == "taskset":
        return _fit_rows(name, taskset_rows(foreign), RECIPE, PointSpace(TASKSET_SPACE), pool)
    return _fit_rows(name, imagenet_rows(foreign), RECIPE, PointSpace(IMAGENET_SPACE), pool)


def _fit_rows(name: str, rows: dict[str, Rows], recipe: Recipe, space: Space, pool: int) -> Fitted:
    drawn = draw_pool(recipe, space, pool)
    tables = [Table(name, task, recipe, space, ForestSurrogate(found), drawn) for task, found in rows.items()]
    return Fitted(name, tables, {task: held_out_error(found) for task, found in rows.items()})


def names(foreign: Path | None) -> Iterator[str]:
    """Give the names of the collections that can be had: our own, and the foreign ones if their folder is known."""
    yield from own_names()
    if foreign is not None:
        yield from FOREIGN
