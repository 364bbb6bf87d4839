"""Distillation: a network learns from a teacher's probabilities of the images that it sees itself."""

import pytest
import torch
from torch.nn import functional

from bloodtune.training.losses import TEACHER_WEIGHT, distillation
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration, make_splits


def test_the_loss_of_a_student_mixes_labels_and_teacher() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    taught = torch.softmax(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)), 1)
    taught[0] = torch.tensor([0.0, 1.0, 0.0, 0.0])  # a teacher in float32 may be certain
    divergence = (taught * (taught.clamp_min(1e-30).log() - logits.log_softmax(1))).sum(1).mean()
    found = distillation(torch.tensor(2.0), logits, taught)
    assert float(found) == pytest.approx((1 - TEACHER_WEIGHT) * 2.0 + TEACHER_WEIGHT * float(divergence), rel=1e-5)


def test_a_student_follows_its_teacher_where_the_labels_say_otherwise() -> None:
    splits = make_splits()

    def teacher(images: torch.Tensor) -> torch.Tensor:
        # The images' colour is their class; this teacher is one class ahead.
        brightest = images.float().mean((2, 3)).argmax(1)
        return functional.one_hot((brightest + 1) % 3, 3).float()

    configuration = make_configuration(stain=0.02)
    student = Training(configuration, splits, max_epochs=8, seed=0, teacher=teacher)
    for _ in range(8):
        student.run_epoch()
    assert student.val_probabilities is not None
    taught = (splits.val_labels + 1) % 3
    assert (student.val_probabilities.argmax(1) == taught).float().mean() > 0.9


def test_a_teacher_is_asked_for_the_augmented_images_without_gradients() -> None:
    splits = make_splits(64, 12)
    seen, trained = [], []

    def teacher(images: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        seen.append(images.clone())
        return torch.full((len(images), 3), 1 / 3)

    training = Training(make_configuration(cutout=4), splits, max_epochs=1, seed=0, teacher=teacher)
    training.network.register_forward_pre_hook(lambda _, images: trained.append(images[0].clone()))
    training.train_epoch()
    assert len(seen) == 2
    assert all(torch.equal(one, other) for one, other in zip(seen, trained, strict=True))
