"""The one error that a command line turns into a line on stderr and exit code 2."""


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what was given, what is allowed and where it came from.
    """
