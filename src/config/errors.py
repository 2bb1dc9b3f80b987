"""The one exception for a user's mistake."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command or its configuration. The message says what, where, and what was expected."""


def suggestion(word: str, options: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest of ``options``, or "" if none is near."""
    spelled = {option.lower(): option for option in options}
    near = difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.6)
    return f" Did you mean {spelled[near[0]]}?" if near else ""
