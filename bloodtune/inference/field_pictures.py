"""Pictures of fields of view: each cell with its box, class and probability, drawn and written to a folder."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bloodtune.inference.differential import Box, FieldCount, Prediction, Result, Tally

_SURE, _UNSURE, _CUT = "#0b6e2e", "#b45309", "#5c6670"


def draw_boxes(picture: Image.Image, cells: Sequence[Prediction], cut: Sequence[Box]) -> None:
    """Draw the boxes of cells into an RGB picture: green if sure, orange if unsure, grey if cut by the border."""
    draw = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 240))
    font = ImageFont.load_default(max(10, min(picture.size) / 30))
    for box in cut:
        _draw_box(draw, box, "cut by the border", _CUT, line, font)
    for cell in cells:
        if cell.box is not None:
            text = f"{cell.label} {cell.probability:.2f}{'' if cell.sure else ' ?'}"
            _draw_box(draw, cell.box, text, _SURE if cell.sure else _UNSURE, line, font)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, text: str, colour: str, line: int, font: Any) -> None:
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    x = max(0, min(left, draw.im.size[0] - int(width)))
    y = top - height if top >= height else min(bottom, draw.im.size[1] - int(height))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x, y), text, fill="white", font=font)


def as_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file, compressed fast."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


class FieldFolder:
    """Writer of a folder with one PNG file per field; the files appear when all are complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()

    def __enter__(self) -> FieldFolder:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}.", dir=self._folder.parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._folder.mkdir(exist_ok=True)
                for name in sorted(self._names):
                    (self._temporary / name).replace(self._folder / name)
        finally:
            shutil.rmtree(self._temporary)

    def add(self, result: Result) -> None:
        """Write the picture of a field; a second field of the same name gets a number."""
        if not isinstance(result, FieldCount):
            return
        stem, number = Path(result.source).stem, 1
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}.png") in self._names:
            number += 1
        self._names.add(name)
        (self._temporary / name).write_bytes(result.drawn)

    def finish(self, tally: Tally) -> None:
        """Do nothing: pictures have no count."""
