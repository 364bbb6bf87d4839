"""The files of a table: CSV, Markdown and LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from table_fixtures import TABLE_NAMES
from tables.all_tables import write_tables
from tables.files import Panel, Table, escape_latex, to_latex, write_table


def test_write_table_writes_three_files(tables: dict[str, Table], tmp_path: Path) -> None:
    paths = write_tables(list(tables.values()), tmp_path)
    assert sorted(path.name for path in paths) == sorted(
        f"{name}.{suffix}" for name in TABLE_NAMES for suffix in ("csv", "md", "tex")
    )
    frame = pd.read_csv(tmp_path / "table3_f1.csv")
    expected = tables["table3_f1"].frame.weighted_f1
    np.testing.assert_allclose(frame.weighted_f1.to_numpy(), expected, rtol=1e-5)


def test_write_table_escapes_its_cells(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a|b": ["1"], "c": ["x_y"]})
    _, markdown, _ = write_table(Table("t", "100 % of A & B", frame, (Panel("", frame),)), tmp_path)
    assert markdown.read_text() == "100 % of A & B\n\n| a\\|b | c    |\n| ---: | ---- |\n|    1 | x_y  |\n"


def test_latex_files_are_whole(tables: dict[str, Table], tmp_path: Path) -> None:
    write_tables(list(tables.values()), tmp_path)
    for name in TABLE_NAMES:
        text = (tmp_path / f"{name}.tex").read_text()
        plain = re.sub(r"\\[\\{}%&#_$]", "", text)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert "%" not in plain
        assert "_" not in plain
        assert text.isascii(), [character for character in text if not character.isascii()]
        for begin, end in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*?)\\end", text, re.DOTALL):
            rows = [line for line in end.splitlines() if line.endswith(r"\\")]
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(begin) - 1}
        assert text.count(r"\begin{") == text.count(r"\end{")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_files_compile(tables: dict[str, Table], tmp_path: Path) -> None:
    write_tables(list(tables.values()), tmp_path)
    inputs = "\n".join(rf"\input{{{name}}}" for name in TABLE_NAMES)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_escape_latex() -> None:
    assert escape_latex("a_b & 5 % ± #1 {x} \\ <") == (r"a\_b \& 5 \% $\pm$ \#1 \{x\} \textbackslash{} \textless{}")


def test_to_latex_guards_a_row_that_starts_with_a_bracket() -> None:
    text = to_latex(Table("name", "caption", pd.DataFrame(), (Panel("", pd.DataFrame({"a": ["1", "[2"]})),)))
    assert "1 \\\\\n{}[2 \\\\" in text


def test_to_latex_continues_what_is_longer_than_a_page() -> None:
    panels = tuple(Panel(f"part {part}", pd.DataFrame({"a": ["1"] * 20})) for part in range(3))
    text = to_latex(Table("name", "What it is.", pd.DataFrame(), panels, "More.", "synthetic"))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\label{tab:name}") == text.count("More.") == 1
    assert r"\addtocounter{table}{-1}\caption{What it is (continued). Data: synthetic.}" in text
