"""Jinja templates: self-contained HTML pages in one style, and the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

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


def _plain(value: Any) -> Any:
    # The value of an expression, unless it is markup already.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
