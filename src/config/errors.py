"""The one exception for a user's mistake, and how any text reaches a terminal."""

import difflib
import unicodedata
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command or its configuration. The message says what, where, and what was expected."""


def suggestion(word: str, options: Iterable[str]) -> str:
    """ " Did you mean ...?" with the nearest of ``options``, or "" if none is near."""
    spelled = {option.lower(): option for option in options}
    near = difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.6)
    return f" Did you mean {spelled[near[0]]}?" if near else ""


# categories of characters that show nothing, or change how what surrounds them is shown: control, format (bidirectional
# overrides among them), surrogate, private, unassigned, line and paragraph separators
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """``text`` with all that a terminal would obey instead of show as escapes: \\x1b, \\u202e; lines and tabs stay."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in UNSEEN else ascii(char)[1:-1] for char in text
    )


def first_line(error: BaseException) -> str:
    """What an error says in one line; YAML's errors with their place."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is not None and problem:
        return f"line {mark.line + 1}: {problem}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
