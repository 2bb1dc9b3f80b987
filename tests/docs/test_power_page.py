"""docs/power.md says of its own tables what stands in them."""

import itertools
import re

from docs.power import DRAWS, PAGE, SEEDS, SHARES, row

TEXT = PAGE.read_text()


def table(examples: str) -> dict[tuple[str, str, int], list[str]]:
    """(effects, most of the variance, n) -> the cells behind."""
    (found,) = re.findall(rf"<!-- {examples} examples -->\n\n(.*?)\n\n<!-- end -->", TEXT, re.DOTALL)
    rows = [line.strip("| ").split(" | ") for line in found.splitlines()[2:]]
    return {(effects, most, int(n)): cells for effects, most, n, *cells in rows}


def outside(examples: str, column: int) -> list[tuple[str, str, int]]:
    """The rows in which a power is more than five points from 80."""
    rows = table(examples).items()
    return [key for key, cells in rows if abs(float(cells[column].partition(" ")[0]) - 80) > 5]


def test_rows_beyond_five_points_are_those_that_the_page_names() -> None:
    for examples in ("1,000", "10,000"):
        assert [*table(examples)] == [*itertools.product(DRAWS, SHARES, SEEDS)]
        assert not outside(examples, 0)
        named = re.findall(rf"^- N = {examples}, (\w+), most of the variance from the (\w+), n = (\d+)", TEXT, re.M)
        assert outside(examples, 1) == [(effects, most, int(n)) for effects, most, n in named]


def test_a_row_can_be_made_again() -> None:
    """With fewer repetitions: it has the cells of the page, and its power is near."""
    made = row("normal", "both", 5, 1000, 200)
    assert len(made) == 3 + len(table("1,000")["normal", "both", 5])
    for cell in made[3:5]:
        value, error = (float(number) for number in cell.split(" ± "))
        assert abs(value - 80) < 4 * error + 5
