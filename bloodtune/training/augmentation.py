"""Augmentation of batches (dihedral group, shifts, stain jitter, cutout) and test-time views."""

from __future__ import annotations

import torch

from bloodtune.space.configuration import Configuration


def draw_batch(
    images: torch.Tensor, rows: torch.Tensor, configuration: Configuration, generator: torch.Generator
) -> torch.Tensor:
    """Gather a batch of images and augment it.

    Args:
        images: all images of the split, uint8 (N, H, W, C), H = W.
        rows: indices of the images in the batch, int64 (B,).
        configuration: its ``dihedral``, ``shift``, ``stain`` and ``cutout`` are used.
        generator: source of all random numbers, on the images' device.

    Returns:
        Pixels of 0 to 255, (B, C, H, W) in channels_last order: uint8, or float32 after stain jitter or cutout.
    """
    if configuration.dihedral or configuration.shift:
        batch = _gather_moved(images, rows, configuration.dihedral, configuration.shift, generator)
    else:
        batch = images[rows]
    batch = batch.permute(0, 3, 1, 2)
    if configuration.stain:
        batch = _jitter_stain(batch, configuration.stain, generator)
    if configuration.cutout:
        batch = _cut_out(batch, configuration.cutout, generator)
    return batch


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
