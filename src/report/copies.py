"""A table as a reader copies it: for a paper (LaTeX with booktabs) or for a spreadsheet (CSV)."""

import csv
import io
import re

from . import escape
from .table import Shown, Table
from .words import DASH, MINUS, TIMES

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"±": r"$\pm$", TIMES: r"$\times$", MINUS: "$-$", "Δ": r"$\Delta$", "∞": r"$\infty$", "·": r"$\cdot$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", DASH: "---", "…": r"\ldots{}"},
    **{"“": "``", "”": "''"},
}
NUMBER = re.compile(rf"[+{MINUS}{TIMES}]?[\d.]*\d")


def latex(table: Table) -> str:
    """A tabular environment for the package booktabs; a cell's second line stands below its first, in small letters."""
    columns = range(len(table.header))
    aligned = "".join("l" if i == 0 or not _numeric(table, i) else "r" for i in columns)
    lines = [
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        _row([_latex(name) for name in table.header]),
        r"\midrule",
    ]
    for row in [*table.rows, *table.floors]:
        if table.floors and row is table.floors[0]:
            lines.append(r"\midrule")
        lines.append(_row([rf"\textbf{{{_latex(cell.text)}}}" if cell.best else _latex(cell.text) for cell in row]))
        if any(cell.second for cell in row):
            lines.append(_row([rf"{{\footnotesize {_latex(cell.second)}}}" if cell.second else "" for cell in row]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(cells: list[str]) -> str:
    # a line that begins with [ would be the option of the line break above it
    return " & ".join(f"{{}}{cell}" if cell.startswith("[") else cell for cell in cells) + r" \\"


def _latex(text: str) -> str:
    return "".join(LATEX.get(char, char) for char in escape.line(text))


def _numeric(table: Table, column: int) -> bool:
    return all(NUMBER.match(row[column].text) for row in table.rows if row[column].text not in ("", DASH))


def as_csv(table: Table) -> str:
    """A line for each row; a cell's second line stands in brackets behind its first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [table.header, *map(_texts, [*table.rows, *table.floors])]
    writer.writerows([escape.cell(value) for value in row] for row in rows)
    return text.getvalue()


def _texts(row: list[Shown]) -> list[str]:
    return [f"{cell.text} ({cell.second})" if cell.second else cell.text for cell in row]
