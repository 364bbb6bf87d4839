"""Error messages: one line for any error, and the nearest allowed name for an unknown one."""

import pytest

from bloodtune.errors import (
    InputError,
    describe,
    escape_markdown,
    one_line,
    printable,
    spreadsheet_cell,
    unknown_name,
)


def test_an_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such class"), "ValueError: no such class"),
        (RuntimeError("first\n  second\r\n\tthird "), "RuntimeError: first second third"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (KeyError("width"), "KeyError: 'width'"),
        (InputError("budget = 0"), "InputError: budget = 0"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_describe_puts_type_and_message_in_one_line(error: Exception, line: str) -> None:
    assert describe(error) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  a\n\n b\tc\r", "a b c"),
        (ValueError("two\nlines"), "two lines"),
        (MemoryError(), "MemoryError"),
        (TimeoutError("\n "), "TimeoutError"),
        (7, "7"),
    ],
)
def test_one_line_joins_lines_and_names_the_type_of_an_empty_error(text: object, line: str) -> None:
    assert one_line(text) == line


def test_an_unknown_name_gets_the_nearest_allowed_name() -> None:
    allowed = ("lightweight", "weight_decay", "width")
    assert unknown_name("key", "widht", allowed) == "unknown key 'widht'; did you mean 'width'?"
    assert unknown_name("key", "weight_decai", allowed) == "unknown key 'weight_decai'; did you mean 'weight_decay'?"


def test_an_unknown_name_without_a_near_one_gets_all_allowed_names() -> None:
    assert unknown_name("family", "transformer", ("mlnn", "cnn")) == "unknown family 'transformer'; allowed: mlnn, cnn"


def test_an_unknown_name_is_quoted_in_one_line() -> None:
    assert unknown_name("key", "a\nb", ("width",)) == r"unknown key 'a\nb'; allowed: width"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer 100\u00a0% 赤 \u200c", "größer 100\u00a0% 赤 \u200c"),
        ("a\x1b[31m\x07", r"a\x1b[31m\x07"),
        ("two\r\nlines\u2028", r"two\r\nlines\u2028"),
        ("a\u202etxt.exe\u2066", r"a\u202etxt.exe\u2066"),
        ("\udcff", r"\udcff"),
    ],
)
def test_printable_spells_out_what_a_terminal_obeys(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-a", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_a_formula_is_text_in_a_spreadsheet(text: str) -> None:
    assert spreadsheet_cell(text) == f"'{text}"
    assert spreadsheet_cell(f"x{text}") == f"x{text}"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b *c* <d> `e` f_g _h_ [1]", r"a\|b \*c\* \<d> \`e\` f_g \_h\_ [1]"),
        ("[a](javascript:b) ![c](//d) [e][f]", r"[a]\(javascript:b) ![c]\(//d) [e]\[f]"),
        ("$x$ ~~y~~ &lt; &#60; a & b", r"\$x\$ \~\~y\~\~ \&lt; \&#60; a & b"),
        ("two\nlines", r"two\\nlines"),
    ],
)
def test_markdown_takes_a_name_as_text(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
