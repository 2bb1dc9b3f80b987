"""What a table's buttons copy."""

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from src.report import escape
from src.report.copies import LATEX, as_csv, latex
from src.report.table import Shown, Table, telling

cells = st.builds(Shown, st.text(max_size=20), st.text(max_size=10), st.sampled_from(["", "better", "perhaps worse"]))
tables = st.integers(1, 4).flatmap(
    lambda n: st.builds(
        Table,
        st.just("title"),
        st.lists(st.text(max_size=10), min_size=n, max_size=n),
        st.lists(st.lists(cells, min_size=n, max_size=n), max_size=4),
    )
)
EXAMPLE = Table(
    "Test metrics",
    ["loss", "nll ↓"],
    [[Shown("ce", "baseline"), Shown("0.21 ± 0.05")], [Shown("a_b & 50%"), Shown("0.27", "Δ +0.06 ± 0.03", "worse")]],
)


def test_an_example_in_latex() -> None:
    assert latex(EXAMPLE) == (
        r"""\begin{tabular}{lr}
\toprule
loss & nll $\downarrow$ \\
\midrule
ce & 0.21 $\pm$ 0.05 \\
{\footnotesize baseline} &  \\
a\_b \& 50\% & 0.27 \\
 & {\footnotesize $\Delta$ +0.06 $\pm$ 0.03 worse} \\
\bottomrule
\end{tabular}
"""
    )


def test_an_example_in_csv() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(EXAMPLE))))
    assert rows == [["loss", "nll ↓"], ["ce (baseline)", "0.21 ± 0.05"], ["a_b & 50%", "0.27 (Δ +0.06 ± 0.03 worse)"]]


@given(tables)
def test_no_text_is_a_command_to_latex(table: Table) -> None:
    """Without what was put there for each special character, none is left but the columns' &, and no line is lost."""
    lines = latex(table).splitlines()
    body = [line for line in lines[2:-2] if line != r"\midrule"]
    assert len(body) == 1 + len(table.rows) + sum(any(cell.second for cell in row) for row in table.rows)
    known = "|".join(re.escape(text) for text in sorted(LATEX.values(), key=len, reverse=True))
    for line in body:
        text = line.removesuffix(r" \\").replace(r"{\footnotesize ", "")
        bare = re.sub(known, "", text)
        assert bare.count("&") == len(table.header) - 1
        assert not set(bare) & set("\\$%#_~^"), line


@given(tables)
def test_a_spreadsheet_reads_every_cell_and_no_formula(table: Table) -> None:
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    texts = [[f"{cell.text} ({cell.second})" if cell.second else cell.text for cell in row] for row in table.rows]
    wanted = [[escape.line(text) for text in row] for row in [table.header, *texts]]
    assert [[cell.removeprefix("'") for cell in row] for row in rows] == [
        [text.removeprefix("'") for text in row] for row in wanted
    ]
    assert not any(cell.lstrip()[:1] in tuple("=+-@") for row in rows for cell in row if cell)


@given(tables)
def test_columns_that_say_the_same_are_left_out(table: Table) -> None:
    kept = telling(table)
    assert kept.header[0] == table.header[0]
    if len(table.rows) > 1:
        left = [i for i in range(1, len(table.header)) if len({row[i] for row in table.rows}) > 1]
        assert kept.rows == ([[row[i] for i in (0, *left)] for row in table.rows] if left else [])
    else:
        assert kept == table
