"""Data of a search: those that its options ask for, or those of the run that it resumes."""

from __future__ import annotations

import dataclasses
from typing import Any

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError
from bloodtune.run.directory import RunDirectory
from bloodtune.tuning.options import DATA, SearchOptions

DATA_OPTIONS = tuple(f.name for f in dataclasses.fields(SearchOptions) if f.metadata["group"] == DATA)


def load_data(options: SearchOptions, before: dict[str, Any], resumed: RunDirectory | None, cluster: bool) -> Dataset:
    """Load the data of a search.

    ``before`` is the provenance of the run ``resumed``. Its data is loaded with the same preparation and splits, from
    where it was, or from ``options.data``.

    Raises:
        InputError: the data cannot be used, or is not that of the run.
    """
    known = before.get("data")
    if not (known and resumed):
        prepared = Preparation(**{name: getattr(options, name) for name in DATA_OPTIONS}, seed=options.seed or 0)
        return load_dataset(options.data, prepared, cluster=cluster)
    source = known["source"] if options.data is None else options.data
    dataset = load_dataset(source, Preparation.recorded(known, resumed.path), cluster=cluster)
    if dataset.md5 != known["md5"]:
        raise InputError(
            f"the run belongs to other data: {known['source']} (MD5 {known['md5']}), "
            f"not {dataset.source} (MD5 {dataset.md5})"
        )
    dataset.check_folds(known)
    return dataset
