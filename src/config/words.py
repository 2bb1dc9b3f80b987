"""The words of a command line, before Hydra composes them: what was typed is what is used, or it is refused.

Hydra reads more than xent means: a list of options for a group, of which it takes the last; an option by its path; a
number where a name was typed. All commands tell of it here.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString, RangeSweep
from hydra.errors import HydraException

from ..names import called
from .errors import UserError

# groups whose keys are those of constructors
FREE = ("data", "model", "loss", "task", "optimizer", "scheduler", "callbacks")
GROUPS = (*FREE, "trainer", "speed", "experiment", "ablation", "debug")
OPTIONAL = ("callbacks", "speed", "experiment", "ablation", "debug")  # groups of which none need be chosen
# Hydra's own keys that mean something here; others would move its folders, write its logs or change the directory
HYDRAS = ("hydra/launcher", "hydra.launcher", "hydra.mode", "hydra.searchpath")
LONGEST = 200  # characters of a key, or of an option's name
GROUPED = re.compile(r"[+-]?\d{1,3}(_\d{3})+(\.\d*)?([eE][+-]?\d+)?")  # 10_000


def key_of(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def raw_of(word: str) -> str:
    """The value as it was typed."""
    return word.partition("=")[2].strip()


def parsed(arguments: Sequence[str]) -> Any:
    """Hydra's flags and words (``overrides``), as argparse has them. Raises UserError."""

    def fault(text: str) -> NoReturn:
        raise UserError(f"{text}. Words are key=value; the flags are -m, --config-dir=FOLDER, --help, -c job, --info")

    parser = get_args_parser()
    parser.error = fault  # type: ignore  # argparse would print its usage, and exit
    parser.allow_abbrev = False
    given, unknown = parser.parse_known_args(list(arguments))
    if unknown and unknown[0].startswith("-"):
        fault(f"there is no flag {unknown[0]}")
    if unknown:
        raise UserError(f"the flags are among the words: give {unknown[0]} and all other words before them, or after")
    return given


def check_line(arguments: Sequence[str]) -> None:
    """Check a whole command line: flags and words. Raises UserError, and Hydra's exceptions."""
    given = parsed(arguments)
    for name in ("experimental_rerun", "config_path", "config_name"):
        if getattr(given, name) is not None:
            raise UserError(
                f"xent takes no --{name.replace('_', '-')}: --config-dir=FOLDER adds options of your own, as in"
                " FOLDER/loss/NAME.yaml"
            )
    folder = given.config_dir
    if folder is not None and not Path(folder).is_dir():
        what = "is a file, not a folder" if Path(folder).exists() else "is not found"
        raise UserError(f"--config-dir={folder} {what}")
    if folder is not None and not any((Path(folder) / group).is_dir() for group in (*GROUPS, "hydra")):
        raise UserError(
            f"--config-dir={folder} holds no options: they are files GROUP/NAME.yaml in it, such as loss/own.yaml"
        )
    check_words(given.overrides)
    modes = [raw_of(word) for word in given.overrides if key_of(word) == "hydra.mode"]
    if modes and (given.multirun or modes != ["RUN"]):
        raise UserError("-m asks for many runs, and hydra.mode=RUN for one run of an ablation; there is no other mode")


def check_words(words: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """The words as Hydra parses them. Raises UserError where one is not what it seems, and Hydra's exceptions."""
    words = list(words)
    for word in words:
        check_text(word)
    check_once(words)
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
    for override in overrides:
        check_override(override)
    return overrides


def check_text(word: str) -> None:
    """Raise UserError where a word is none, or can be written to no file."""
    if not word.strip():
        raise UserError("one of the words is empty; a word is key=value")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UserError(f"{word} is not UTF-8, in which xent keeps what was typed: rename it, or link to it") from None
    key = key_of(word)
    if len(key) > LONGEST:  # the file system would refuse it, in words of its own
        raise UserError(f"no key has {len(key):,} characters: {key[:40]}...")
    if word.startswith("=") or not key.strip():
        raise UserError(f"'{word}' has no key: a word is key=value, without spaces")


def check_once(words: Iterable[str]) -> None:
    """Raise UserError where a key is there twice: Hydra would take the last value, and say nothing."""
    first: dict[str, str] = {}
    for word in words:
        if word.startswith("-") or ("=" not in word and not word.startswith("~")):
            continue  # a flag, or what it takes
        key = key_of(word).strip()
        for other, there in first.items():
            inside = f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.")
            if key == other or (inside and min(key, other, key=len) not in GROUPS):
                raise UserError(f"{key} is there twice: {there} and {word}")
        first[key] = word


def check_override(override: Override) -> None:
    """Raise UserError for what Hydra would take for something else."""
    key, word = override.key_or_group, override.input_line or ""
    if override.package is not None:
        raise UserError(f"{word}: a key is a name, or GROUP.NAME; there is no '@' in it")
    if key.startswith("hydra") and not is_below(key, HYDRAS):
        raise UserError(f"{word}: of Hydra's own keys xent takes {', '.join(HYDRAS)}; folders and logs are its own")
    if override.is_delete():
        if key.partition(".")[0] not in FREE or "." not in key or "=" in word:
            raise UserError(f"{word}: only a key of {', '.join(FREE)} can be left out, as in ~model.dropout")
        return
    for value in given(override):
        if key in GROUPS or "/" in key:
            check_option(key, value)
        elif isinstance(value, int | float | list):
            check_number(key, raw_of(word))


def given(override: Override) -> Iterator[Any]:
    """The values that a word names: one, or those of a sweep, but for ranges and globs."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        yield from value.list
    elif not override.is_sweep_override():
        yield value


def check_option(group: str, value: Any) -> None:
    """Raise UserError where ``value`` is not the plain name of an option."""
    text = value.text if isinstance(value, QuotedString) else value
    if isinstance(text, list):
        names = ",".join(map(str, text))
        raise UserError(
            f"{group} takes one option, got [{names}]; with -m each of several is a run: -m {group}={names}"
        )
    if isinstance(text, dict):
        keys = " ".join(f"{group}.{key}=..." for key in text)
        raise UserError(f"{group} takes the name of an option; its keys are words of their own: {keys}")
    if text is None:
        way = "; for none, leave the word out" if group in OPTIONAL else ""
        raise UserError(f"a group takes the name of an option, not null: {group}=NAME{way}")
    if not isinstance(text, str):
        raise UserError(f"{group} takes the name of an option, got {str(text).lower()}")
    if len(text) > LONGEST:
        raise UserError(f"{group} takes the name of an option, and none has {len(text):,} characters: {text[:40]}...")
    if not re.fullmatch(r"\w[\w.+-]*", text) or text.endswith((".yaml", ".yml")):
        name = re.sub(r"\.ya?ml$", "", text).rpartition("/")[2]
        hint = f" Did you mean {group}={name}?" if name and name != text else ""
        raise UserError(f"{group} takes the name of an option, not a path, got '{text}'.{hint}")


def check_number(key: str, raw: str) -> None:
    """Raise UserError for 1_0: is it 10, or 1.0? 10_000 can only be one thing."""
    for number in re.findall(r"(?<![\w'\"])[+-]?\d[\d_.eE+-]*(?![\w'\"])", raw):
        if "_" in number and not GROUPED.fullmatch(number):
            raise UserError(f"{key}: write {number} without underscores; they may only part thousands, as in 10_000")


def is_below(key: str, keys: Iterable[str]) -> bool:
    """Whether ``key`` is one of ``keys``, or inside of one: loss.gamma is inside of loss."""
    return any(key == other or key.startswith(f"{other}.") for other in keys)


def texts(words: Iterable[str]) -> dict[str, str]:
    """Key -> the value as typed, of each word whose value Hydra reads as a number or as true or false."""
    found = {}
    parser = OverridesParser.create()
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:
            continue  # a search's log(a,b)
        value = None if override.is_sweep_override() else override.value()
        if isinstance(value, bool | int | float) and "(" not in word:  # not int(3.0)
            found[override.key_or_group] = raw_of(word)
    return found


def variants(override: Override, most: int) -> list[str]:
    """The word of each value that a word gives, as it was typed. Raises UserError where there are none, or too many."""
    word, key = override.input_line or "", override.get_key_element()
    if not override.is_sweep_override():
        return [word]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{word}: a sweep takes a,b or range(a,b,step) or glob(...); {called('tune')} searches an interval"
        )
    value = override.value()
    if isinstance(value, ChoiceSweep) and (typed := typed_choices(word, value)):
        check_different(word, value.list)
        return [f"{key}={text}" for text in typed]
    values = value.range() if isinstance(value, RangeSweep) and not value.shuffle else override.sweep_string_iterator()
    found = [f"{key}={text}" for text in itertools.islice(iter(values), most + 1)]
    if not found:
        options = " There is no option of that name." if isinstance(value, Glob) else ""
        raise UserError(f"{word} has no values, so there is nothing to run.{options}")
    if len(found) > most:
        raise UserError(f"{word} has more than {most:,} values")
    return found


def check_different(word: str, values: Sequence[Any]) -> None:
    """Raise UserError where a sweep has a value twice: 1 and 1.0 would be the same run."""
    seen: list[tuple[bool, Any]] = []
    for value in values:
        plain = value.text if isinstance(value, QuotedString) else value
        if (pair := (isinstance(plain, bool), plain)) in seen:
            raise UserError(f"{word} has {plain} twice, which would be the same run")
        seen.append(pair)


def typed_choices(word: str, sweep: ChoiceSweep) -> list[str]:
    """The elements of ``a,b`` or ``choice(a,b)`` as they were typed; [] where the sweep is more than these."""
    raw = raw_of(word)
    if raw.startswith(("sort(", "shuffle(")):
        return []
    if not sweep.simple_form:
        called = re.fullmatch(r"choice\(\s*(.*?)\s*\)", raw, flags=re.DOTALL)
        if called is None or sweep.shuffle or sweep.tags:
            return []
        raw = called[1]
    parts = list(parted(raw))
    return parts if len(parts) == len(sweep.list) else []


def parted(text: str) -> Iterator[str]:
    """``text`` cut at its commas that are in no bracket, quote or escape."""
    part, depth, quote = "", 0, ""
    characters: Iterator[str] = iter(text)
    for char in characters:
        if char == "\\":
            part += char + next(characters, "")
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "," and not depth:
            yield part.strip()
            part = ""
            continue
        else:
            depth += (char in "([{") - (char in ")]}")
        part += char
    yield part.strip()
