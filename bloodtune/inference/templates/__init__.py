"""Jinja templates: self-contained HTML pages in one style, and the model card."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from bloodtune.errors import escape_markdown, printable

FOLDER = Path(__file__).parent


def render(template: str, folder: Path = FOLDER, **context: Any) -> str:
    """Render a template in ``folder``, which may include the templates of this package."""
    environment = Environment(
        loader=FileSystemLoader([folder, FOLDER]),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_plain,
    )
    environment.filters["markdown"] = escape_markdown
    return environment.get_template(template).render(context)


def png_text(image: np.ndarray) -> str:
    """Return an image, uint8 (H, W, C), as a PNG file in base64, for a page."""
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _plain(value: Any) -> Any:
    # The value of an expression, unless it is markup already.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
