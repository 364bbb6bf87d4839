"""Benchmark of trust: the accuracy that a model loses on corrupted validation images, and how sure it is of mistakes.

python benchmarks/corruptions.py --data FILE [--model DIR]

The corruptions are those that Hendrycks and Dietterich (2019) and MedMNIST-C (Di Salvo et al., 2024) use, with
strengths of our own for tiles of 28 pixels. The test split is not read.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from bloodtune.command_line import positive
from bloodtune.data.dataset import load_dataset
from bloodtune.data.npz import Split
from bloodtune.inference.predictor import Predictor
from bloodtune.predict import choose_model, load_predictor
from common import make_parser, print_figures

Corruption = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Image.Image:
    """Add normal noise of a ``deviation`` in grey levels."""
    clean = np.asarray(image)
    pixels = clean + generator.normal(0, deviation, clean.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def shot_noise(image: Image.Image, photons: float, generator: np.random.Generator) -> Image.Image:
    """Draw each value from a Poisson distribution, with so many ``photons`` in white."""
    pixels = generator.poisson(np.asarray(image) / 255 * photons) / photons * 255
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def blur(image: Image.Image, radius: float, _: np.random.Generator) -> Image.Image:
    """Blur with a normal kernel of ``radius`` pixels, as out of focus."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def motion(image: Image.Image, length: float, _: np.random.Generator) -> Image.Image:
    """Average ``length`` copies, each moved to the right by one more pixel; the border repeats."""
    pixels = np.pad(np.asarray(image, float), ((0, 0), (int(length) - 1, 0), (0, 0)), "edge")
    width = image.width
    mean = np.mean([pixels[:, start : start + width] for start in range(int(length))], axis=0)
    return Image.fromarray(mean.round().astype(np.uint8))


def pixelate(image: Image.Image, side: float, _: np.random.Generator) -> Image.Image:
    """Scale to ``side`` pixels and back."""
    small = image.resize((int(side), int(side)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def jpeg(image: Image.Image, quality: float, _: np.random.Generator) -> Image.Image:
    """Save once as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file)


def hue(image: Image.Image, degrees: float, _: np.random.Generator) -> Image.Image:
    """Turn the hue."""
    pixels = np.array(image.convert("HSV"))
    pixels[..., 0] += np.uint8(round(degrees / 360 * 256))
    return Image.fromarray(pixels, "HSV").convert("RGB")


def enhanced(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> Corruption:
    """Return a corruption that applies one of Pillow's enhancers with a factor."""
    return lambda image, factor, _: enhancer(image).enhance(factor)


# Name: corruption, and its weak, middle and strong setting.
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float, float]]] = {
    "normal noise": (noise, (4, 10, 20)),
    "shot noise": (shot_noise, (500, 150, 50)),
    "out of focus": (blur, (0.5, 1.0, 1.5)),
    "motion": (motion, (2, 4, 6)),
    "pixelated": (pixelate, (20, 14, 10)),
    "JPEG": (jpeg, (60, 30, 15)),
    "brighter": (enhanced(ImageEnhance.Brightness), (1.1, 1.25, 1.4)),
    "darker": (enhanced(ImageEnhance.Brightness), (0.9, 0.75, 0.6)),
    "more contrast": (enhanced(ImageEnhance.Contrast), (1.2, 1.5, 2.0)),
    "less contrast": (enhanced(ImageEnhance.Contrast), (0.8, 0.6, 0.4)),
    "more colour": (enhanced(ImageEnhance.Color), (1.2, 1.5, 2.0)),
    "less colour": (enhanced(ImageEnhance.Color), (0.8, 0.5, 0.0)),
    "hue": (hue, (5, 15, 30)),
}


def corrupt(images: np.ndarray, name: str, strength: int) -> np.ndarray:
    """Return images, uint8 (N, H, W, 3), corrupted by ``CORRUPTIONS[name]`` with its setting ``strength`` (0 to 2)."""
    corruption, settings = CORRUPTIONS[name]
    generator = np.random.default_rng(0)
    changed = (corruption(Image.fromarray(image), settings[strength], generator) for image in images)
    return np.stack([np.asarray(image) for image in changed])


def judge(predictor: Predictor, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the shares of images, uint8 (N, H, W, 3), that are right, sure and wrong, and known to the guard."""
    probabilities, known = zip(*predictor.examine(list(images)), strict=True)
    found = np.stack(probabilities)
    right = found.argmax(1) == labels
    sure = np.array(known) & (found.max(1) >= predictor.threshold)
    return {
        "accuracy": float(right.mean()),
        "sure_wrong": float((sure & ~right).mean()),
        "known": float(np.mean(known)),
    }


def choose_images(split: Split, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of a split, or ``count`` of them at random."""
    rows = np.random.default_rng(0).permutation(len(split.labels))[:count]
    return split.images[rows], split.labels[rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a Markdown table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="32 images")
    parser.add_argument("--model", metavar="DIR", help="the model, as in `predict`")
    parser.add_argument("--count", type=positive, metavar="N", help="images (default: the validation split)")
    arguments = parser.parse_args(argv)
    dataset = load_dataset(arguments.data)
    predictor = load_predictor(choose_model(arguments.model, "corruptions"), program="corruptions")
    images, labels = choose_images(dataset.val, 32 if arguments.quick else arguments.count)
    clean = judge(predictor, images, labels)
    figures = {"none": [clean]}
    print("% of the images: right / sure and wrong / known to the guard")
    print(f"{len(labels):,} validation images; without corruption: {_cell(clean)}")
    print("| corruption | settings | weak | middle | strong | mean loss, points |\n|---|---|---|---|---|---|")
    for name, (_, settings) in CORRUPTIONS.items():
        found = [judge(predictor, corrupt(images, name, strength), labels) for strength in range(3)]
        loss = clean["accuracy"] - np.mean([one["accuracy"] for one in found])
        cells = " | ".join(map(_cell, found))
        print(f"| {name} | {', '.join(f'{one:g}' for one in settings)} | {cells} | {100 * loss:.1f} |", flush=True)
        figures[name] = found
    print_figures({"images": len(labels), "corruptions": figures}, dataset, {"CPU": 1})
    return 0


def _cell(found: dict[str, float]) -> str:
    return " / ".join(f"{100 * found[name]:.1f}" for name in ("accuracy", "sure_wrong", "known"))


if __name__ == "__main__":
    sys.exit(main())
