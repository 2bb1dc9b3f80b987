"""What every table of a report is made of, and which of its columns tell something."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shown:
    """A cell: its text, a second line, the verdict that belongs to that line and colours it ("better", "perhaps
    worse", "equal within ±0.005", ""), and the address that the text leads to. ``best``: it is the best of its column.
    ``code``: it is a command."""

    text: str
    below: str = ""
    tone: str = ""
    link: str = ""
    best: bool = False
    code: bool = False

    @property
    def look(self) -> str:
        """The word alone of the verdict."""
        return self.tone.partition("within")[0].rstrip(" ,")

    @property
    def second(self) -> str:
        """The second line with its verdict."""
        return f"{self.below} {self.tone}".strip()


@dataclass(frozen=True)
class Table:
    """``rows`` of as many cells as ``header`` has names, and below them ``floors``, rows of what was not trained.
    ``title`` says what it is, also where it cannot be seen."""

    title: str
    header: list[str]
    rows: list[list[Shown]] = field(default_factory=list)
    floors: list[list[Shown]] = field(default_factory=list)


def telling(table: Table, keep: int = 1) -> Table:
    """The table without the columns that say the same in all of its rows; the first ``keep`` of them stay. Without any
    row if no other column is left."""
    if len(table.rows) < 2:
        return table
    columns = [i for i in range(len(table.header)) if i < keep or len({row[i] for row in table.rows}) > 1]
    rows = [[row[i] for i in columns] for row in table.rows] if len(columns) > keep else []
    return Table(table.title, [table.header[i] for i in columns], rows)
