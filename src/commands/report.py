"""Compare finished runs: which loss wins, by how much, how sure."""

import shutil
import sys
from pathlib import Path

from ..config.errors import UserError, suggestion
from ..config.guard import writing
from ..names import called

KEYS = ("baseline", "margin", "out", "means")
COMMAND = called("report")
USAGE = f"""Compare finished runs: which loss wins, by how much, how sure.

{COMMAND} runs/mnist_5k-mlp                  all runs below the folder; the report goes to its report/
{COMMAND} runs/a runs/b baseline=focal       compare with another loss than the family's, ce (or the ablation's)
{COMMAND} runs/a margin=accuracy:0.005       what differs by less is called equal, where the runs show that it does
{COMMAND} runs/a out=reports/a               write somewhere else
{COMMAND} runs/a means=means/a               write TensorBoard runs of each loss's mean over seeds, too
{COMMAND} --list runs                        what lies there, newest first: status, values, age; nothing is written
"""


def main() -> int:
    """Write the report of the folders on the command line; the exit status."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(USAGE)
        return 0
    if "--list" in words:
        return show(words)
    folders, options = parse(words)
    from ..report.escape import line  # scipy and matplotlib take a second: only for a command that is right
    from ..report.write import told, write_report

    writing()
    out, means = (Path(options[key]).expanduser() if key in options else None for key in ("out", "means"))
    written = write_report(folders, options.get("baseline"), out, means, options.get("margin"))
    for text in told(written):
        print(line(text))
    return 0


def show(words: list[str]) -> int:
    """List what lies in folders, as wide as the terminal where there is one; the exit status."""
    folders, options = parse([word for word in words if word != "--list"])
    if options:
        raise UserError(f"--list compares nothing: leave out {', '.join(f'{key}=' for key in options)}")
    from ..report.listing import listing

    for line in listing(folders, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        print(line)
    return 0


def parse(words: list[str]) -> tuple[list[Path], dict[str, str]]:
    """Folders, and key=value words. Raises UserError."""
    from ..config.words import check_once, check_text

    check_once(word for word in words if not Path(word).exists())
    folders, options = [], {}
    for word in words:
        check_text(word)
        key, equals, value = word.partition("=")
        if Path(word).exists() or not (equals or word.startswith("-")):
            folders.append(Path(word).expanduser())
        elif key not in KEYS:
            raise UserError(f"unknown key '{key}'.{suggestion(key, KEYS)} Valid: {', '.join(KEYS)}")
        elif not value:
            raise UserError(f"{key}= has no value")
        else:
            options[key] = value
    if not folders:
        raise UserError(
            f"which runs? {COMMAND} FOLDER... [baseline=LOSS] [margin=METRIC:SIZE,...] [out=FOLDER] [means=FOLDER]"
        )
    return folders, options
