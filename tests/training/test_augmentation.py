"""Augmentation of whole batches: what may move, what may change, and what must not."""

from typing import Any

import numpy as np
import pytest
import torch

from bloodtune.training.augmentation import dihedral_views, draw_batch, mix_batch, prediction_views, validation_views
from engine_fixtures import make_configuration

MOVES: dict[str, Any] = {"dihedral": True, "shift": 2}
CHANGES: dict[str, Any] = {"stain": 0.1, "cutout": 4, "rotation": 180.0, "scale": 0.5, "colour": 1.0, "blur": 1.0}
EVERYTHING = MOVES | CHANGES
EACH: list[dict[str, Any]] = [{name: value} for name, value in EVERYTHING.items()]


def draw_images(count: int = 16, size: int = 12, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, size, size, channels), generator=generator, dtype=torch.uint8)


def augment(images: torch.Tensor, rows: torch.Tensor | None = None, seed: int = 0, **changes: Any) -> torch.Tensor:
    rows = torch.arange(len(images)) if rows is None else rows
    return draw_batch(images, rows, make_configuration(**changes), torch.Generator().manual_seed(seed))


def repeated(image: torch.Tensor, count: int) -> torch.Tensor:
    return image.expand(count, *image.shape).contiguous()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("changes", [{}, *EACH, EVERYTHING], ids=lambda changes: "+".join(changes) or "none")
def test_a_batch_has_the_shape_and_range_of_its_images(changes: dict[str, Any], channels: int) -> None:
    images = draw_images(channels=channels)
    batch = augment(images, torch.tensor([3, 1, 1, 15, 0]), **changes)
    assert batch.shape == (5, channels, 12, 12)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.dtype == (torch.float32 if CHANGES.keys() & changes.keys() else torch.uint8)
    assert batch.min() >= 0 and batch.max() <= 255


def test_without_augmentation_a_batch_is_the_images_themselves() -> None:
    images, rows = draw_images(), torch.tensor([5, 0, 15, 5])
    assert torch.equal(augment(images, rows), images[rows].permute(0, 3, 1, 2))


# With one channel neither greying nor another order of the channels changes anything; here there are three.
@pytest.mark.parametrize("changes", [*EACH, EVERYTHING], ids="+".join)
def test_the_generator_decides_about_the_batch(changes: dict[str, Any]) -> None:
    images = draw_images()
    first, same, other = (augment(images, seed=seed, **changes) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("changes", [*EACH, EVERYTHING], ids="+".join)
def test_the_images_themselves_are_never_written_to(changes: dict[str, Any]) -> None:
    images = draw_images()
    before = images.clone()
    augment(images, **changes)
    assert torch.equal(images, before)


@pytest.mark.parametrize("changes", [{"dihedral": True}, {"shift": 2}, {"stain": 0.1}], ids="+".join)
def test_each_image_is_drawn_for_by_itself(changes: dict[str, Any]) -> None:
    batch = augment(repeated(draw_images(1)[0], 64), **changes)
    assert len(batch.flatten(1).unique(dim=0)) > 7


# The dihedral group


def test_dihedral_draws_exactly_the_eight_elements_of_the_group_alike_often() -> None:
    image = draw_images(1)[0]
    views = {np.rot90(turned, k).tobytes() for turned in (image.numpy(), image.numpy()[::-1]) for k in range(4)}
    assert len(views) == 8
    batch = augment(repeated(image, 800), dihedral=True).permute(0, 2, 3, 1).contiguous().numpy()
    found, counts = np.unique([view.tobytes() for view in batch], return_counts=True)
    assert set(found) == views
    assert counts.min() > 60 and counts.max() < 140


def test_dihedral_keeps_each_images_pixels_and_its_place_in_the_batch() -> None:
    images = draw_images()
    rows = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    batch = augment(images, rows, dihedral=True).flatten(2)
    expected = images[rows].permute(0, 3, 1, 2).flatten(2)
    assert torch.equal(batch.sort(2).values, expected.sort(2).values)


def test_dihedral_views_are_the_eight_elements_of_the_group() -> None:
    images = draw_images(2).permute(0, 3, 1, 2)
    views = dihedral_views(images)
    turned = [one.rot90(k, (2, 3)) for one in (images, images.flip(2)) for k in range(4)]
    assert len(views) == 8
    assert all(sum(torch.equal(view, one) for view in views) == 1 for one in turned)
    assert torch.equal(views[0], images)


@pytest.mark.parametrize(("dihedral", "shift", "count"), [(False, 0, 1), (False, 2, 1), (True, 0, 8), (True, 3, 24)])
def test_views_for_prediction_are_those_that_training_drew(dihedral: bool, shift: int, count: int) -> None:
    images = draw_images(1)
    configuration = make_configuration(dihedral=dihedral, shift=shift)
    views = prediction_views(images.permute(0, 3, 1, 2), configuration)
    assert torch.equal(views[0], images.permute(0, 3, 1, 2))
    found = {view.contiguous().numpy().tobytes() for view in views}
    assert len(views) == len(found) == count
    drawn = draw_batch(images, torch.zeros(9000, dtype=torch.int64), configuration, torch.Generator().manual_seed(0))
    assert found <= {view.contiguous().numpy().tobytes() for view in drawn.split(1)}


@pytest.mark.parametrize(("dihedral", "count"), [(False, 1), (True, 4)])
def test_views_for_validation_are_rotations_of_what_training_drew(dihedral: bool, count: int) -> None:
    images = torch.arange(2 * 5 * 5 * 3, dtype=torch.uint8).view(2, 5, 5, 3).permute(0, 3, 1, 2)
    views = validation_views(images, make_configuration(dihedral=dihedral, shift=2))
    assert torch.equal(views[0], images)
    assert len({view.contiguous().numpy().tobytes() for view in views}) == len(views) == count
    group = [view.contiguous().numpy().tobytes() for view in dihedral_views(images)]
    assert all(view.contiguous().numpy().tobytes() in group for view in views)


def test_views_show_the_picture_moved_to_all_four_sides() -> None:
    # One bright pixel at the centre of nine: where it lies in the views is where it was moved to.
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    views = prediction_views(image, make_configuration(dihedral=True, shift=1))
    places = sorted(tuple(view[0, 0].nonzero()[0].tolist()) for view in views)
    assert places == sorted([(4, 4)] * 8 + [(3, 4), (5, 4), (4, 3), (4, 5)] * 4)


# Shifts


@pytest.mark.parametrize("shift", [1, 3])
def test_a_shift_moves_by_at_most_so_many_pixels_and_reflects_at_the_border(shift: int) -> None:
    image = draw_images(1)[0].numpy()
    padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    offsets = range(2 * shift + 1)
    allowed = {padded[y : y + 12, x : x + 12].tobytes(): (y, x) for y in offsets for x in offsets}
    assert len(allowed) == len(offsets) ** 2
    batch = augment(repeated(torch.from_numpy(image), 1000), shift=shift).permute(0, 2, 3, 1).contiguous().numpy()
    assert {view.tobytes() for view in batch} == set(allowed)


def test_the_largest_shift_fits_a_small_image() -> None:
    assert augment(draw_images(64, size=8), shift=7).shape == (64, 3, 8, 8)


def test_shifts_and_turns_go_together() -> None:
    image = draw_images(1)[0]
    batch = augment(repeated(image, 4000), dihedral=True, shift=1)
    assert len(batch.flatten(1).unique(dim=0)) == 8 * 9


# Stain


def test_stain_changes_colours_but_moves_nothing() -> None:
    # Within one channel of one image, equal pixels stay equal and brighter ones stay brighter.
    images = draw_images(channels=3)
    batch = augment(images, stain=0.1)
    before = images.permute(0, 3, 1, 2).flatten(2)
    order = before.argsort(dim=2, stable=True)
    along = batch.flatten(2).gather(2, order)
    steps = before.gather(2, order).float().diff()
    assert (along.diff()[steps == 0] == 0).all()
    assert (along.diff()[steps > 0] >= 0).all()
    assert not torch.equal(batch, images.permute(0, 3, 1, 2).float())


def test_stain_is_stronger_the_larger_its_deviation() -> None:
    images = draw_images(200)
    plain = images.permute(0, 3, 1, 2).float()
    changes = [(augment(images, stain=deviation) - plain).abs().mean() for deviation in (0.01, 0.05, 0.2)]
    assert changes[0] < changes[1] < changes[2]
    assert changes[0] < 2


@pytest.mark.parametrize("value", [0, 255])
def test_stain_keeps_black_and_white_in_range(value: int) -> None:
    batch = augment(torch.full((200, 4, 4, 3), value, dtype=torch.uint8), stain=0.5)
    assert batch.isfinite().all()
    assert batch.min() >= 0 and batch.max() <= 255


# Cutout


@pytest.mark.parametrize("side", [1, 3, 4, 8])
def test_cutout_masks_one_square_of_its_side_an_image(side: int) -> None:
    images = draw_images(300)
    plain = images.permute(0, 3, 1, 2).float()
    changed = (augment(images, cutout=side) != plain).any(1)
    heights, widths = changed.any(2).sum(1), changed.any(1).sum(1)
    assert heights.max() == widths.max() == side
    assert (changed.sum((1, 2)) == heights * widths).all()
    assert (heights > 0).all()


def test_cutout_fills_with_the_mean_of_the_batch() -> None:
    images = draw_images()
    plain = images.permute(0, 3, 1, 2).float()
    batch = augment(images, cutout=8)
    filled = (batch != plain).any(1, keepdim=True).expand_as(batch)
    mean = plain.mean((0, 2, 3)).view(1, 3, 1, 1).expand_as(batch)
    torch.testing.assert_close(batch[filled], mean[filled])


def test_cutout_reaches_all_of_the_image() -> None:
    images = torch.zeros(2000, 12, 12, 1, dtype=torch.uint8)
    images[:, 0, 0] = 255  # so that the filling differs from the black that it covers
    covered = (augment(images, cutout=3) != images.permute(0, 3, 1, 2)).any(0)[0]
    assert covered.all()


def disc(size: int = 28, radius: float = 6.0) -> torch.Tensor:
    offset = torch.arange(size) - (size - 1) / 2
    is_inside = offset.view(-1, 1) ** 2 + offset.view(1, -1) ** 2 <= radius**2
    return (is_inside * 255).to(torch.uint8).unsqueeze(2).expand(size, size, 3).contiguous()


def test_scale_changes_the_area_of_a_disc_up_to_its_limits() -> None:
    images = repeated(disc(), 400)
    areas = augment(images, scale=0.5)[:, 0].mean((1, 2)) / 255 * 28**2
    ratios = (areas / (images[0, :, :, 0].float().mean() / 255 * 28**2)).sqrt()
    assert 1 / 1.5 * 0.97 < ratios.min() < 0.72 and 1.42 < ratios.max() < 1.5 * 1.03
    assert ratios.log().mean().abs() < 0.05


def test_rotation_turns_a_point_up_to_its_limit() -> None:
    image = torch.zeros(29, 29, 3, dtype=torch.uint8)
    image[13:16, 20:23] = 255  # seven pixels to the right of the centre
    batch = augment(repeated(image, 300), rotation=40.0)[:, 0]
    index = torch.arange(29) - 14.0
    down = (batch.sum(2) @ index) / batch.sum((1, 2))
    right = (batch.sum(1) @ index) / batch.sum((1, 2))
    angles = torch.rad2deg(torch.atan2(down, right))
    assert torch.allclose(torch.hypot(down, right), torch.tensor(7.0), atol=0.3)
    assert 36 < angles.max() < 41 and -41 < angles.min() < -36


def test_colour_greys_and_permutes_a_share_of_the_images() -> None:
    image = torch.tensor([200, 100, 30], dtype=torch.uint8).expand(8, 8, 3)
    colours = augment(repeated(image, 1000), colour=0.5)[:, :, 0, 0]
    is_changed = (colours != torch.tensor([200.0, 100.0, 30.0])).any(1)
    assert torch.allclose(colours.mean(1), torch.tensor(110.0))
    assert 0.5 < is_changed.float().mean() < 0.7  # half lose colour; of the rest, 5 of 6 orders of a quarter differ
    is_ordered = (colours[:, 0] >= colours[:, 1]) & (colours[:, 1] >= colours[:, 2])
    assert 0.15 < (~is_ordered).float().mean() < 0.27


def test_blur_keeps_the_mean_and_takes_contrast() -> None:
    images = draw_images(size=28)
    plain, blurred = images.permute(0, 3, 1, 2).float(), augment(images, blur=1.0)
    assert torch.allclose(blurred.mean((1, 2, 3)), plain.mean((1, 2, 3)), atol=3)
    assert (blurred.std((1, 2, 3)) < plain.std((1, 2, 3))).all()


@pytest.mark.parametrize("ways", [("mixup",), ("cutmix",), ("mixup", "cutmix")], ids="+".join)
def test_mixed_images_hold_the_share_of_the_other_that_is_returned(ways: tuple[str, ...]) -> None:
    images = torch.zeros(4, 3, 28, 28, dtype=torch.uint8)
    images[2:] = 200
    configuration = make_configuration(**dict.fromkeys(ways, 0.5))
    generator = torch.Generator().manual_seed(0)
    shares, kinds = [], set()
    for _ in range(60):
        mixed, share = mix_batch(images, configuration, generator)
        assert share is not None
        assert torch.allclose(mixed[0].mean(), 200 * share, atol=1e-3)
        assert torch.allclose(mixed[3].mean(), 200 * (1 - share), atol=1e-3)
        if 0 < share < 0.5:
            kinds.add(len(mixed[0].unique()))  # one grey level if added, two if pasted
        shares.append(float(share))
    assert 0 <= min(shares) < 0.05 and 0.4 < max(shares) <= 0.53  # a rectangle has whole pixels
    assert kinds == {{"mixup": 1, "cutmix": 2}[way] for way in ways}


def test_without_mixing_the_images_are_returned_as_they_are() -> None:
    images = torch.zeros(4, 3, 8, 8)
    mixed, share = mix_batch(images, make_configuration(), torch.Generator())
    assert mixed is images and share is None
