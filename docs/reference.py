"""Makes docs/reference.md, every key with its default and its meaning, from the comments of the option files in conf/.

Run from anywhere: python docs/reference.py
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONF, PAGE = ROOT / "conf", ROOT / "docs/reference.md"
GROUPS = {
    "data": "what is learnt from",
    "model": "the network",
    "loss": "what is minimised",
    "task": "what its loss brings: how a family trains and is judged",
    "optimizer": "how a step is taken",
    "scheduler": "how the learning rate changes",
    "callbacks": "what else is called while it trains",
    "trainer": "where and for how long",
    "speed": "presets of precision and compilation",
    "debug": "presets that look for mistakes",
    "experiment": "named runs",
    "ablation": "named sweeps",
}
INTRO = """# Every key

Made by `python docs/reference.py` from the option files in `conf/`; do not edit by hand.

Set a key by `key=value`: `python train.py seed=1 loss=focal loss.gamma=3`.
Choose an option of a group by `group=option`.
"""


@dataclass(frozen=True)
class Key:
    """One line of an option file: its dotted name, its default, and its comment."""

    name: str
    default: str
    comment: str


def keys(text: str) -> Iterator[Key]:
    """The keys of an option file, with those of its sections; not Hydra's own, nor the list of defaults."""
    sections: list[str] = []
    for line in text.splitlines():
        found = re.fullmatch(r"( *)([\w/]+):(?: +([^#\s][^#]*?))?(?: +# *(.*))?", line)
        if not found:
            continue
        indent, name, default, comment = found.groups()
        sections[len(indent) // 2 :] = [name]
        if sections[0] in ("defaults", "hydra") or name == "_target_":
            continue
        if default or comment:
            yield Key(".".join(sections), default or "", comment or "")


def head(text: str) -> str:
    """The comment at the beginning of an option file, as a paragraph."""
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return " ".join(line for line in lines if not line.startswith("@package"))


def base(text: str) -> str:
    """The option that an option file builds on, or ""."""
    found = re.search(r"^ +- ([\w/]+)@_here_$", text, re.MULTILINE)
    return found[1] if found else ""


def inherited(path: Path) -> dict[str, Key]:
    """The keys of the option that an option file builds on, and of those below it; of all keys for a preset."""
    text = path.read_text()
    if "@package _global_" in text:
        trainer = keys((CONF / "trainer/auto.yaml").read_text())
        top = {key.name: key for key in keys((CONF / "config.yaml").read_text())}
        return top | {f"trainer.{key.name}": key for key in trainer}
    above = base(text)
    if not above:
        return {}
    of = path.parent / f"{above}.yaml"
    return inherited(of) | {key.name: key for key in keys(of.read_text())}


def rows(found: list[Key], prefix: str = "") -> list[str]:
    cells = ((f"`{prefix}{key.name}`", f"`{key.default}`" if key.default else "", key.comment) for key in found)
    return ["| key | default | meaning |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in cells)]


def option(path: Path, group: str) -> list[str]:
    """The section of one option file."""
    text, known = path.read_text(), inherited(path)
    # a key that only changes what it builds on has no comment of its own
    found = [
        key if key.comment or key.name not in known else replace(key, comment=known[key.name].comment)
        for key in keys(text)
    ]
    prefix = "" if "@package _global_" in text else f"{group}."
    lines = [f"### {group}={path.stem}", ""]
    if said := head(text):
        lines += [said, ""]
    above = base(text)
    if above.startswith("defaults/"):
        shared = above.partition("/")[2]
        lines += [f"Has the keys of [all {shared}](#{group}-all-{shared}){', and:' if found else '.'}", ""]
    elif above:
        lines += [f"As [{group}={above}](#{group}{above}){', but for:' if found else '.'}", ""]
    if found and group not in ("experiment", "ablation"):
        lines += [*rows(found, prefix), ""]
    elif not found and not said and not above:
        lines += ["No keys.", ""]
    return lines


def page() -> str:
    """The whole page."""
    lines = [INTRO, "## At the top", "", *rows(list(keys((CONF / "config.yaml").read_text()))), ""]
    for group, title in GROUPS.items():
        lines += [f"## {group}: {title}", ""]
        for path in sorted((CONF / group / "defaults").glob("*.yaml")):
            lines += [f"### {group}: all {path.stem}", "", *rows(list(keys(path.read_text())), f"{group}."), ""]
        for path in sorted((CONF / group).glob("*.yaml")):
            lines += option(path, group)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
