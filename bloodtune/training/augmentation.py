"""Augmentation of batches (moves, stain, colour, blur, cutout), their mixing with others, and test-time views."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from bloodtune.space.configuration import Configuration


def draw_batch(
    images: torch.Tensor, rows: torch.Tensor, configuration: Configuration, generator: torch.Generator
) -> torch.Tensor:
    """Gather a batch of images and augment it.

    Args:
        images: all images of the split, uint8 (N, H, W, C), H = W.
        rows: indices of the images in the batch, int64 (B,).
        configuration: its fields from ``dihedral`` to ``blur`` are used.
        generator: source of all random numbers, on the images' device.

    Returns:
        Pixels of 0 to 255, (B, C, H, W) in channels_last order: uint8 if pixels were only moved, else float32.
    """
    if configuration.dihedral or configuration.shift:
        batch = _gather_moved(images, rows, configuration.dihedral, configuration.shift, generator)
    else:
        batch = images[rows]
    batch = batch.permute(0, 3, 1, 2)
    if configuration.rotation or configuration.scale:
        batch = _turn_and_scale(batch, configuration.rotation, configuration.scale, generator)
    if configuration.stain:
        batch = _jitter_stain(batch, configuration.stain, generator)
    if configuration.colour:
        batch = _change_colours(batch, configuration.colour, generator)
    if configuration.blur:
        batch = _blur(batch, configuration.blur, generator)
    if configuration.cutout:
        batch = _cut_out(batch, configuration.cutout, generator)
    return batch


Mixed = tuple[torch.Tensor, torch.Tensor | None]


def mix_batch(images: torch.Tensor, configuration: Configuration, generator: torch.Generator) -> Mixed:
    """Mix each image with the one that is as far from the other end of the batch; batches are in random order.

    MixUp (Zhang et al. 2018) adds the other image, CutMix (Yun et al. 2019) pastes a rectangle of it. The other's share
    is drawn for the batch, from 0 to ``mixup`` or ``cutmix``. With both, each batch is mixed in one of the two ways.

    Returns:
        The images (B, C, H, W) and the other image's share, a tensor of no dimension; None if nothing is mixed. The
        other label of each image is that of ``labels.flip(0)``.
    """
    if not (configuration.mixup or configuration.cutmix):
        return images, None
    drawn = torch.rand(4, generator=generator, device=images.device)
    others = images.flip(0)
    added = drawn[0] * configuration.mixup
    if not configuration.cutmix:
        return torch.lerp(images.float(), others.float(), added), added
    is_inside = _rectangle(images.shape[2], drawn[0] * configuration.cutmix, drawn[1:3])
    weight, share = is_inside.float(), is_inside.float().mean()
    if configuration.mixup:
        is_added = drawn[3] < 0.5
        weight, share = torch.where(is_added, added, weight), torch.where(is_added, added, share)
    return torch.lerp(images.float(), others.float(), weight), share


def _rectangle(size: int, share: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    # A square of this share of the area, bool (H, W), moved to a place (2,) of 0 to 1.
    side = share.sqrt() * size
    start = (place * (size - side)).unsqueeze(1)
    index = torch.arange(size, device=share.device)
    inside = (index >= start.round()) & (index < (start + side).round())
    return inside[0].unsqueeze(1) & inside[1]


def dihedral_views(images: torch.Tensor) -> list[torch.Tensor]:
    """Return the eight rotations and reflections of square images (N, C, H, W)."""
    flipped = [images, images.flip(2), images.flip(3), images.flip(2, 3)]
    return flipped + [view.transpose(2, 3) for view in flipped]


def validation_views(images: torch.Tensor, configuration: Configuration) -> list[torch.Tensor]:
    """Return the views of square images (N, C, H, W) over which probabilities are averaged after each epoch.

    With ``dihedral`` these are the four rotations: they score nearly as well as all eight views of the group
    (docs/experiments.md). Without it, the images alone.
    """
    return [images.rot90(turns, (2, 3)) for turns in range(4)] if configuration.dihedral else [images]


def prediction_views(images: torch.Tensor, configuration: Configuration) -> list[torch.Tensor]:
    """Return the views of square images (N, C, H, W) over which a trained network's probabilities are averaged.

    With ``dihedral`` these are the eight views of the group. With ``shift`` as well there are 24: the group is also
    applied to the image moved down by one pixel and to the image moved right by one pixel, which covers shifts in all
    four directions. Without ``dihedral``, the images alone.
    """
    if not configuration.dihedral:
        return [images]
    index = torch.arange(images.shape[2], device=images.device)
    moved = _reflect(index + 1, images.shape[2])
    pictures = [images, images[:, :, moved], images[:, :, :, moved]] if configuration.shift else [images]
    return [view for picture in pictures for view in dihedral_views(picture)]


def _gather_moved(
    images: torch.Tensor, rows: torch.Tensor, dihedral: bool, shift: int, generator: torch.Generator
) -> torch.Tensor:
    # Flips, transposes and shifts only move pixels, so one gather with computed indices applies them all.
    size, device = images.shape[1], images.device

    def draw(high: int) -> torch.Tensor:
        return torch.randint(high, (len(rows), 1), generator=generator, device=device)

    vertical = torch.arange(size, device=device).expand(len(rows), size)
    horizontal = vertical
    if shift:
        vertical = _reflect(vertical + draw(2 * shift + 1) - shift, size)
        horizontal = _reflect(horizontal + draw(2 * shift + 1) - shift, size)
    if dihedral:
        vertical = torch.where(draw(2) == 1, size - 1 - vertical, vertical)
        horizontal = torch.where(draw(2) == 1, size - 1 - horizontal, horizontal)
        is_transposed = draw(2) == 1
        vertical = torch.where(is_transposed, vertical, vertical * size)
        horizontal = torch.where(is_transposed, horizontal * size, horizontal)
    else:
        vertical = vertical * size
    offsets = vertical.unsqueeze(2) + horizontal.unsqueeze(1) + (rows * size * size).view(-1, 1, 1)
    pixels = images.view(-1, images.shape[3]).index_select(0, offsets.view(-1))
    return pixels.view(len(rows), size, size, -1)


def _reflect(index: torch.Tensor, size: int) -> torch.Tensor:
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index)


def _turn_and_scale(batch: torch.Tensor, rotation: float, scale: float, generator: torch.Generator) -> torch.Tensor:
    draw = _Draw(generator, batch)
    angle = (2 * draw() - 1) * math.radians(rotation)
    factor = torch.exp((2 * draw() - 1) * math.log1p(scale))
    cosine, sine, zero = torch.cos(angle) / factor, torch.sin(angle) / factor, torch.zeros_like(angle)
    matrix = torch.stack([cosine, -sine, zero, sine, cosine, zero], 1).view(-1, 2, 3)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch.float(), grid, padding_mode="reflection", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def _change_colours(batch: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    # Some images become partly grey; half as many have their channels in another order.
    draw = _Draw(generator, batch)
    batch = batch.float()
    batch = torch.lerp(batch, batch.mean(1, keepdim=True), draw.strength(share))
    order = torch.rand(batch.shape[:2], generator=generator, device=batch.device).argsort(1)
    kept = torch.arange(batch.shape[1], device=batch.device)
    order = torch.where(draw().unsqueeze(1) < share / 2, order, kept)
    return batch.gather(1, order[:, :, None, None].expand_as(batch)).contiguous(memory_format=torch.channels_last)


def _blur(batch: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    batch = batch.float()
    blurred = functional.avg_pool2d(functional.pad(batch, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    return torch.lerp(batch, blurred, _Draw(generator, batch).strength(share))


class _Draw:
    """Random numbers, one for each image of a batch."""

    def __init__(self, generator: torch.Generator, batch: torch.Tensor) -> None:
        self._generator, self._batch = generator, batch

    def __call__(self) -> torch.Tensor:
        """Return numbers of 0 to 1, (B,)."""
        return torch.rand(len(self._batch), generator=self._generator, device=self._batch.device)

    def strength(self, share: float) -> torch.Tensor:
        """Return 0 to 1 for a ``share`` of the images and 0 for the others, (B, 1, 1, 1)."""
        return (self() * (self() < share)).view(-1, 1, 1, 1)


def _jitter_stain(batch: torch.Tensor, deviation: float, generator: torch.Generator) -> torch.Tensor:
    # Beer-Lambert law: the amount of stain scales each channel's optical density, -log(transmitted light).
    shape = (len(batch), batch.shape[1], 1, 1)
    noise = torch.randn((2, *shape), generator=generator, device=batch.device) * deviation
    density = -torch.log((batch + 1.0) / 256.0)
    density = density * (1 + noise[0]) + noise[1] / 4
    return (torch.exp(-density) * 256.0 - 1.0).clamp_(0, 255)


def _cut_out(batch: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    size, device = batch.shape[2], batch.device
    centre = torch.randint(size, (2, len(batch), 1), generator=generator, device=device)
    offset = (torch.arange(size, device=device) - centre) * 2
    inside = (offset > -side) & (offset <= side)
    mask = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1)
    filling = batch.float().mean(dim=(0, 2, 3), keepdim=True)
    return torch.where(mask, filling, batch.float())
