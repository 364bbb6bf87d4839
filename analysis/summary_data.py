"""The summary: a search's records and its tested models, the source of tables, figures and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.data.npz import Split
from bloodtune.run.directory import RunDirectory
from bloodtune.run.provenance import read_provenance
from bloodtune.run.records import TrialRecord
from bloodtune.tuning.retrained_models import Contender, Speed, TestedContender
from contender_labels import PUBLISHED
from display_names import data_mark, data_sentence, is_blood
from model_choice import Choices
from scores import Measured

# The entries of provenance.json that tables and report show, without those of a search that has not ended.
_NEEDED = ("max_epochs", "workers", "data.source", "data.md5", "data.title", "data.synthetic")


@dataclass(frozen=True, eq=False)
class SearchRecords:
    """The records of one run, read once.

    ``trials`` are in the order in which they ended. ``curves`` has the columns ``CURVE_COLUMNS`` and one row per epoch.
    """

    name: str
    provenance: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    curves: pd.DataFrame

    @classmethod
    def read(cls, run: RunDirectory) -> SearchRecords:
        """Read provenance, trials and curves; a paused or interrupted trial counts as pruned where it stands.

        Raises:
            InputError: a file is damaged.
        """
        return cls(run.name, read_provenance(run, _NEEDED), tuple(run.standing()), run.curves())


@dataclass(frozen=True, eq=False)
class Summary:
    """A search, its random control if any, and the retrained models with their test scores.

    ``rungs`` are the epochs at which ASHA decides. ``tested`` lists published contenders before found ones.
    ``measured`` and ``speeds`` map labels of contenders to their scores and to the speeds of their median seeds.
    ``test_files`` are the file names of the test images if the data are photographs in a folder, else empty.
    """

    search: SearchRecords
    control: SearchRecords | None
    rungs: tuple[int, ...]
    class_names: tuple[str, ...]
    train: Split
    test: Split
    tested: tuple[TestedContender, ...]
    measured: Mapping[str, Measured]
    speeds: Mapping[str, Speed]
    choices: Choices
    test_files: tuple[str, ...] = ()

    @cached_property
    def by_label(self) -> dict[str, TestedContender]:
        """The tested contenders, by label."""
        return {one.contender.label: one for one in self.tested}

    @cached_property
    def contenders(self) -> dict[str, Contender]:
        """The contenders without their predictions, by label."""
        return {label: one.contender for label, one in self.by_label.items()}

    @property
    def best(self) -> TestedContender:
        """The chosen contender."""
        return self.by_label[self.choices.best]

    @cached_property
    def mistakes(self) -> np.ndarray:
        """Rows of the test images that the chosen contender's median seed misclassifies, the most confident first."""
        probabilities = self.best.median_probabilities
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != self.test.labels)
        return np.asarray(wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")])

    @property
    def chosen(self) -> list[TestedContender]:
        """The best contender of each family; the chosen contender is last."""
        return [self.by_label[label] for label in self.choices.labels()]

    @property
    def is_blood(self) -> bool:
        """True if the classes are BloodMNIST's. Only then are our scores compared with published ones."""
        return is_blood(self.class_names)

    @property
    def data_sentence(self) -> str:
        """A sentence with the name and the MD5 of the data."""
        return data_sentence(self.search.provenance)

    @property
    def mark(self) -> str:
        """The short mark of the data in files of figures and tables; an empty string for official data."""
        return data_mark(self.search.provenance)

    def published_of(self, family: str) -> list[TestedContender]:
        """Return the published contenders of a family, in the papers' order."""
        published = [one for one in self.tested if one.contender.origin == PUBLISHED]
        return [one for one in published if one.contender.configuration.family == family]
