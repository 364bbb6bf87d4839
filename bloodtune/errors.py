"""The one error that a command line turns into a line on stderr and exit code 2, and how others are told."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what was given, what is allowed and where it came from.
    """


def describe(error: BaseException) -> str:
    """Return type and message of any error, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
