"""The pictures of mistakes with their heat maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from bloodtune.inference.heat_map import heat_maps, overlay
from mistake_heat_maps import explain_mistakes
from model_fixtures import make_classifier
from summary_fixtures import fake_contenders, fake_run, make_summary


def test_the_first_mistakes_are_explained_by_the_median_seed_for_the_wrong_class(tmp_path: Path) -> None:
    tested, labels, names = fake_contenders()
    best = next(one for one in tested if one.contender.label == "search #12")
    classifier = make_classifier()
    classifier.save(tmp_path / "model")
    retrainings = [dataclasses.replace(one, model=tmp_path / "absent") for one in best.contender.retrainings]
    retrainings[best.contender.median] = dataclasses.replace(
        retrainings[best.contender.median], model=tmp_path / "model"
    )
    best = dataclasses.replace(best, contender=dataclasses.replace(best.contender, retrainings=tuple(retrainings)))
    summary = make_summary(fake_run(tmp_path / "run"), [best], labels, names)
    assert len(summary.mistakes) > 3
    pictures = explain_mistakes(summary, 3)
    rows = summary.mistakes[:3]
    predicted = best.median_probabilities[rows].argmax(axis=1)
    assert (predicted != labels[rows]).all()
    images = summary.test.images[rows]
    expected = heat_maps(classifier.network, images, predicted)
    assert len(pictures) == 3
    for picture, image, heat in zip(pictures, images, expected, strict=True):
        np.testing.assert_array_equal(picture, overlay(image, heat))
    assert len(explain_mistakes(summary, 1000)) == len(summary.mistakes)
