"""The weights that an adaptation starts from: those of the model, with a last layer for the new classes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from bloodtune.adaptation.settings import Settings, most_epochs
from bloodtune.adaptation.start import starting_weights
from error_fixtures import refusal
from model_fixtures import BLOOD, make_classifier

NAMES = ("Neutrophils", "blast", "ig")


def test_the_body_is_the_models_and_known_classes_keep_their_rows() -> None:
    model = make_classifier()
    known = model.network.state_dict()
    weights = starting_weights(model, model.configuration, NAMES)
    (head,) = (name for name, tensor in known.items() if tensor.shape[:1] == (8,) and tensor.ndim == 2)
    for name, tensor in known.items():
        if name.rpartition(".")[0] != head.rpartition(".")[0]:
            assert torch.equal(weights[name], tensor), name
    assert torch.equal(weights[head][0], known[head][BLOOD.index("neutrophil")])
    assert torch.equal(weights[head][2], known[head][BLOOD.index("immature granulocyte")])
    assert not any(torch.equal(weights[head][1], row) for row in known[head])


def test_the_row_of_a_new_class_does_not_depend_on_what_was_drawn_before() -> None:
    model = make_classifier()
    first = starting_weights(model, model.configuration, NAMES)
    state = torch.get_rng_state()
    second = starting_weights(model, model.configuration, NAMES)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_learned_plain_pixels_can_get_the_stain_normalized() -> None:
    model = make_classifier()
    settings = Settings(source=0, normalization="reinhard", stain=0.1, learning_rate=0.01, kept=0)
    configuration = settings.configuration(model.configuration, images=20)
    assert (configuration.normalization, configuration.stain) == ("reinhard", 0.1)
    weights = starting_weights(model, configuration, NAMES)
    assert torch.equal(weights["0.mean"], model.network.state_dict()["0.mean"])


def test_a_network_without_a_linear_layer_at_its_end_is_refused() -> None:
    model = make_classifier()
    body = nn.Sequential(*model.network[1], nn.Softmax(1))  # type: ignore[index]
    changed = dataclasses.replace(model, network=nn.Sequential(model.network[0], body))  # type: ignore[index]
    message = refusal(lambda: starting_weights(changed, model.configuration, NAMES))
    assert message.startswith("the model's network has no linear layer at its end")


@pytest.mark.parametrize(("images", "batch"), [(1, 2), (16, 16), (20, 20), (40, 20), (100, 25), (101, 26), (300, 25)])
def test_batches_are_equal_and_never_of_one_image(images: int, batch: int) -> None:
    settings = Settings(source=0, normalization="zscore", stain=0.0, learning_rate=0.01, kept=0)
    assert settings.configuration(make_classifier().configuration, images).batch_size == batch


def test_a_training_is_as_long_for_few_images_as_for_many() -> None:
    assert [most_epochs(images) for images in (20, 50, 100, 200, 1000)] == [80, 60, 30, 15, 12]
    assert [most_epochs(images, quick=True) for images in (20, 50, 100, 200, 1000)] == [40, 40, 30, 15, 12]
