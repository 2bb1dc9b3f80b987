"""The commands of README.md, CONTRIBUTING.md and docs/, as a reader would type them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
# what a command begins with; `code` in a sentence is a command if it begins with one of these and says more
PROGRAMS = ("python", "xent", "make", "seeds", "tensorboard", "torchrun", "srun", "pip", "pytest", "bash", "source")


@dataclass(frozen=True)
class Command:
    """One command: where it stands, its environment, its program and its words."""

    page: Path
    line: int
    env: tuple[str, ...]
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {shlex.join([*self.env, self.program, *self.words])}"


def commands(page: Path) -> Iterator[Command]:
    """Those in blocks marked sh, then those in sentences and tables."""
    text = page.read_text()
    sentences = text
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        sentences = sentences.replace(block[0], "\n" * block[0].count("\n"))
        if block[1] == "sh":
            first = text.count("\n", 0, block.start(2)) + 1
            yield from in_block(page, first, block[2])
    for span in re.finditer(r"`([^`]+)`", sentences):
        if len(words := span[1].split()) > 1 and words[0] in PROGRAMS:
            yield command(page, sentences.count("\n", 0, span.start()) + 1, span[1])


def in_block(page: Path, first: int, text: str) -> Iterator[Command]:
    """Each line, with those that it continues on after a backslash."""
    number = first
    for line in re.split(r"(?<!\\)\n", text):
        if shlex.split(line, comments=True):
            yield command(page, number, line)
        number += line.count("\n") + 1


def command(page: Path, line: int, text: str) -> Command:
    words = shlex.split(text.replace("\\\n", " "), comments=True)
    start = next(number for number, word in enumerate(words) if not re.match(r"[A-Z]+=", word))
    return Command(page, line, tuple(words[:start]), words[start], tuple(words[start + 1 :]))


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows: blocks with a line '# folder/name.py' or '.yaml'."""
    for _, body in re.findall(r"^```(python|yaml)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if found := re.search(r"^# (\S+/\S+\.(?:py|yaml))$", body, re.MULTILINE):
            path = folder / found[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
