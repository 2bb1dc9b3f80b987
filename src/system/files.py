"""Files that are there whole or not at all, and reading what somebody else may have written."""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from ..config.errors import first_line

LARGEST = 64 * 2**20  # bytes of a text that is read whole
DEEPEST = 50  # collections in each other; libyaml and json follow them with the process's stack
SURROGATE = re.compile(
    r"\\u[dD][89a-fA-F]"
)  # a byte of a path that is no UTF-8, in Python's reading; libyaml refuses it
TYPES = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}


class DamagedError(ValueError):
    """A file that cannot be what it should be. ``path``; ``reason``, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path, self.reason = path, reason


def _plain_loader(base: Any) -> Any:
    """A loader of texts, numbers, booleans, null, lists and mappings with text for keys, each key once."""

    class Loader(base):
        def get_single_node(self) -> Any:
            root = super().get_single_node()
            nodes = [root] if root else []
            while nodes:
                node = nodes.pop()
                if node.tag not in TYPES:
                    raise yaml.YAMLError(f"line {node.start_mark.line + 1} has a value of the type {node.tag}")
                if isinstance(node, yaml.MappingNode):
                    nodes += _values_of(node)
                elif isinstance(node, yaml.SequenceNode):
                    nodes += node.value
            return root

    return Loader


def _values_of(mapping: yaml.MappingNode) -> list[yaml.Node]:
    seen: set[str] = set()
    for key, _ in mapping.value:
        if key.tag != "tag:yaml.org,2002:str":
            raise yaml.YAMLError(f"line {key.start_mark.line + 1} has a key that is no text")
        if key.value in seen:
            raise yaml.YAMLError(f"line {key.start_mark.line + 1} has the key {key.value!r} a second time")
        seen.add(key.value)
    return [value for _, value in mapping.value]


# Sweeps and reports read many files; the loader in C is ten times as fast.
SlowYamlLoader = _plain_loader(yaml.SafeLoader)
YamlLoader = _plain_loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file to read; what is none (a pipe, a device) is not waited for.

    Raises FileNotFoundError where there is nothing, DamagedError for anything else.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except FileNotFoundError:
        raise  # nothing is damaged
    except OSError as error:
        raise DamagedError(path, f"it cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DamagedError(path, "it is no regular file")
    with os.fdopen(number, "rb") as file:
        yield file


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Raises FileNotFoundError where there is nothing, DamagedError where there is no such file of that size."""
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise DamagedError(path, f"it has more than {largest:,} bytes")
        try:
            return file.read(largest)
        except OSError as error:
            raise DamagedError(path, f"it cannot be read ({error.strerror})") from error


def read_text(path: Path) -> str:
    """A text in UTF-8, whatever the locale. Raises FileNotFoundError and DamagedError."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedError(path, f"byte {error.start} is no UTF-8") from error


def read_json(path: Path) -> Any:
    """Plain values; a key that comes twice is refused. Raises FileNotFoundError and DamagedError."""
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"no JSON: {first_line(error)}") from error


def read_yaml(path: Path) -> Any:
    """Plain values: no aliases, no other types, each key once. Raises FileNotFoundError and DamagedError."""
    return parse_yaml(path, read_text(path))


def parse_yaml(path: Path, text: str) -> Any:
    """The plain values that ``text``, the content of ``path``, holds. Raises DamagedError."""
    try:
        _check_depth(text)
        return yaml.load(text, SlowYamlLoader if SURROGATE.search(text) else YamlLoader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DamagedError(path, f"no plain YAML: {first_line(error)}") from error


def _check_depth(text: str) -> None:
    """Raise YAMLError for aliases, of which a few lines can hold gigabytes, and for what would overflow the stack."""
    depth = 0
    for event in yaml.parse(text, SlowYamlLoader if SURROGATE.search(text) else YamlLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, AliasEvent):
            raise yaml.YAMLError(f"line {line} has an alias (*{event.anchor})")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"line {line} is more than {DEEPEST} collections deep")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} comes twice")
    return found


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes ``path``'s place once it is complete and on disk; what fails half-way is deleted.

    Raises OSError where it cannot be written, whatever a library makes of that.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed
        number = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
            if not os.path.samestat(os.fstat(number), partial.lstat()):
                raise FileExistsError(errno.EEXIST, "another process writes the same file", str(path))
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # on a full disk, result.json needs its room
        cause = _cause(error)
        if cause is None or cause is error:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error
    synced(path.parent)  # the new name itself


def _cause(error: BaseException | None) -> OSError | None:
    """The system's error that a library's is about: torch says "unexpected pos 9664 vs 9558" of a full disk."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error if isinstance(error, OSError) and error.errno else None


def synced(folder: Path) -> None:
    """Have the names in a folder on disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sha256_of(path: Path) -> str:
    """Of a file's content, in hex. Raises FileNotFoundError and DamagedError."""
    with opened(path) as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    with written_whole(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=True) + "\n")


class PlainDumper(yaml.SafeDumper):
    """Writes text so that every character comes back: what a reader could take for a line's end is escaped."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    odd = not text.isprintable() or "\ufeff" in text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if odd else None)


PlainDumper.add_representer(str, _text)


def write_yaml(path: Path, value: Any) -> None:
    # endless lines: a folded one loses the spaces at its breaks
    write_text(path, yaml.dump(value, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=2**31))
