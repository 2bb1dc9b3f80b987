"""Text that reaches a terminal."""

import sys
import unicodedata

import pytest

from src.config.errors import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ünïcode → 漢字 😀 e\u0301", "ünïcode → 漢字 😀 e\u0301"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("invoice\u202egpj.exe\u2066", "invoice\\u202egpj.exe\\u2066"),
        ("\udcff\ud800", "\\udcff\\ud800"),
        ("a\rb\x08c\x7f", "a\\rb\\x08c\\x7f"),
        ("\u2028\u2029\ufeff", "\\u2028\\u2029\\ufeff"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_of_all_characters_only_those_that_show_something_remain() -> None:
    left = printable("".join(map(chr, range(sys.maxunicode + 1))))
    assert not {unicodedata.category(char) for char in set(left) - set("\n\t")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    left.encode()  # no surrogate
