"""A table as files: CSV with bare numbers, GitHub Markdown and LaTeX (booktabs) with readable cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bloodtune.errors import escape_markdown, printable, spreadsheet_cell

# A page of LaTeX's article has 345 pt by 550 pt for text: characters per line at footnotesize (about 3.9 pt each) and
# at scriptsize (3.3 pt), and table rows above a caption of twelve lines.
_FOOTNOTESIZE_CHARACTERS, SCRIPTSIZE_CHARACTERS, _FLOAT_ROWS = 86, 104, 46
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "†": r"$\dagger$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
}
_NUMERIC = re.compile(r"[\s\d.,:%±×≈<=+−\-–—†\[\]*]*")


@dataclass(frozen=True, eq=False)
class Panel:
    """A part of a table as readers see it. All cells are text."""

    title: str
    frame: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the paper: ``frame`` holds the numbers, ``panels`` show them one below the other.

    ``caption`` is one sentence, ``note`` the explanation, ``mark`` the short mark of the data.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    panels: tuple[Panel, ...]
    note: str = ""
    mark: str = ""

    @property
    def number(self) -> str:
        """The number of the table, e.g. ``2b`` for ``table2b_lightweight_configuration``."""
        return self.name.removeprefix("table").partition("_")[0]

    @property
    def data(self) -> str:
        """A sentence with the mark; an empty string without a mark."""
        return f"Data: {self.mark}." if self.mark else ""


def write_table(table: Table, folder: Path) -> tuple[Path, Path, Path]:
    """Write ``name.csv``, ``name.md`` and ``name.tex`` (for ``booktabs``) into ``folder``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    csv, markdown, latex = (folder / f"{table.name}.{suffix}" for suffix in ("csv", "md", "tex"))
    frame = table.frame.rename(columns=_cell).map(_cell)
    frame.to_csv(csv, index=False, float_format="%.6g")
    markdown.write_text(to_markdown(table), encoding="utf-8")
    latex.write_text(to_latex(table), encoding="utf-8")
    return csv, markdown, latex


def _cell(value: Any) -> Any:
    return spreadsheet_cell(value) if isinstance(value, str) else value


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown: caption, panels and note."""
    parts = [escape_markdown(table.caption), *map(markdown_panel, table.panels)]
    if rest := f"{table.note} {table.data}".strip():
        parts.append(escape_markdown(rest))
    return "\n\n".join(parts) + "\n"


def markdown_panel(panel: Panel) -> str:
    """Return a panel as a GitHub table below a bold title."""
    names = [escape_markdown(str(name)) for name in panel.frame.columns]
    rows = [[escape_markdown(cell) for cell in row] for row in panel.frame.itertuples(index=False)]
    numeric = numeric_columns(panel.frame)
    widths = [max(4, *map(len, column)) for column in zip(names, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * (w - 1) + ":") if right else "-" * w for w, right in zip(widths, numeric, strict=True)]
    title = [f"**{escape_markdown(panel.title)}**\n"] if panel.title else []
    return "\n".join([*title, line(names), line(rule), *(line(row) for row in rows)])


def to_latex(table: Table) -> str:
    """Return a LaTeX ``table`` with the label ``tab:name``. A long table continues in floats with the same number."""
    width = max(shown_width(panel.frame) for panel in table.panels)
    size = r"\footnotesize" if width <= _FOOTNOTESIZE_CHARACTERS else r"\scriptsize"
    caption = escape_latex(f"{table.caption} {table.data}".strip())
    continued = escape_latex(f"{table.caption.removesuffix('.')} (continued). {table.data}".strip())
    head = rf"\caption{{{caption}}}\label{{tab:{table.name.replace('_', '-')}}}"
    note = rf"\par\medskip\parbox{{\linewidth}}{{\scriptsize {escape_latex(table.note)}}}" if table.note else ""
    groups = _fit_floats(table.panels)
    floats = []
    for number, group in enumerate(groups, start=1):
        body = "\\par\\medskip\n".join(_latex_panel(panel) for panel in group)
        size_and_gap = rf"{size}\setlength{{\tabcolsep}}{{2.5pt}}"
        end = (note if number == len(groups) else "") + r"\end{table}"
        floats += [r"\begin{table}[htbp]", r"\centering", head, size_and_gap, body + end, ""]
        head = rf"\addtocounter{{table}}{{-1}}\caption{{{continued}}}"
    return "\n".join(floats)


def escape_latex(text: str) -> str:
    """Return text with special characters of LaTeX, and characters that its fonts lack, as commands."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def shown_width(frame: pd.DataFrame) -> int:
    """Return the width of a table in characters, with two characters after each column."""
    columns = ([str(name), *map(str, frame.iloc[:, i])] for i, name in enumerate(frame.columns))
    return sum(max(map(len, column)) + 2 for column in columns)


def _latex_panel(panel: Panel) -> str:
    numeric = numeric_columns(panel.frame)
    title = rf"\textit{{{escape_latex(panel.title)}}}\\[2pt]" + "\n" if panel.title else ""
    # LaTeX would read a bracket at the start of a row as an argument of the \\ before it.
    rows = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in panel.frame.itertuples(index=False)]
    lines = [
        rf"\begin{{tabular}}{{@{{}}{''.join('r' if right else 'l' for right in numeric)}@{{}}}}",
        r"\toprule",
        " & ".join(escape_latex(str(name)) for name in panel.frame.columns) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return title + "\n".join(lines) + "\n"


def _fit_floats(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Distribute the panels over floats that fit on a page."""
    floats: list[list[Panel]] = [[]]
    rows = 0
    for panel in panels:
        height = len(panel.frame) + 3
        if floats[-1] and rows + height > _FLOAT_ROWS:
            floats.append([])
            rows = 0
        floats[-1].append(panel)
        rows += height
    return floats


def _latex_cell(cell: str) -> str:
    return ("{}" if cell.startswith(("[", "*")) else "") + escape_latex(cell)


def numeric_columns(frame: pd.DataFrame) -> list[bool]:
    """Return, for each column, whether it holds only numbers and is therefore aligned to the right."""
    return [all(_NUMERIC.fullmatch(cell) for cell in frame.iloc[:, i]) for i in range(frame.shape[1])]
