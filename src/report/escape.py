"""Text from runs' folders on its way out: one function for each kind of page, through which all of it goes.

Names, errors and settings come from files that anybody may have written; shown they say what they say, and do nothing.
"""

import re
from typing import Any

from markupsafe import Markup

from ..config.errors import printable


def line(text: Any) -> str:
    """On one line, without what a terminal or a page would obey instead of show."""
    return printable(str(text)).replace("\n", "\\n").replace("\t", " ")


def html(value: Any) -> Any:
    """For a template that escapes by itself."""
    return value if isinstance(value, Markup) else line(value)


SPECIAL = re.compile(
    r"[\\`*|~$&@]"  # code, emphasis, cells, strikes, formulas, entities, addresses
    r"|(?<!\w)_|_(?!\w)"  # emphasis; inside of a word it is none
    r"|(?<=\])[(\[]"  # links
    r"|(?<=[A-Za-z]):(?=//)|(?<=[Ww]{3})\."  # addresses become links by themselves
    r"|^\s*(?:\[|#|=|[-+](?=\s|$)|\d+[.)](?=\s|$))"  # what makes a line a heading, an item or a definition
)


def markdown(value: Any) -> Markup:
    """As GitHub renders it: text, whatever it holds."""
    if isinstance(value, Markup):
        return value
    text = SPECIAL.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line(value))
    return Markup(text.replace("<", "&lt;").replace(">", "&gt;"))  # not every renderer knows a backslash before these


def cell(value: Any) -> Any:
    """For report.csv: spreadsheets take text that begins so for a formula."""
    if not isinstance(value, str):
        return value
    text = line(value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text
