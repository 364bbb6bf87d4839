"""The one line that a refusal is."""

from collections.abc import Callable

import pytest

from bloodtune.errors import InputError


def refusal(load: Callable[[], object]) -> str:
    """Return the message with which something is refused; it is always one line."""
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    return message
