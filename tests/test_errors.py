"""Error messages: one line for any error, and the nearest allowed name for an unknown one."""

import pytest

from bloodtune.errors import InputError, describe, one_line, unknown_name


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
