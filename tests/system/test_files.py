"""Reading what somebody else may have written, and text that comes back whatever is in it."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.system.files import DamagedError, read_json, read_text, read_yaml, write_json, write_yaml
from tests.conftest import ROOT

READERS = {"json": read_json, "yaml": read_yaml, "text": read_text}
PIECES = (" ", "\n", "\t", "\r", "\x85", "\u2028", "\u2029", "\ufeff", "\x00", "\x7f", "\u0301", "\U0001f600", "\udcff")


def test_every_character_survives_yaml(tmp_path: Path) -> None:
    """As a value by itself, within a text, and as a key: all of Unicode, lone surrogates (bytes of a path) included."""
    path, characters = tmp_path / "a.yaml", [chr(i) for i in range(sys.maxunicode + 1)]
    for start in (*range(0, 0x20000, 0x800), *range(0xE0000, len(characters), 0x8000)):
        some = characters[start : start + 0x800]
        value: Any = {"text": "".join(some), "key": {"".join(some[i : i + 9]): i for i in (0, 40, 2000)}}
        value |= {"each": some} if start < 0x3000 else {}
        write_yaml(path, value)
        assert read_yaml(path) == value, hex(start)


def test_random_texts_survive_yaml(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = ["", "null", "~", "1e3", "0123", "on", "1_000", "2020-01-01", "1:30", "<<", "=", "*a", "&a", "- a", "a: b"]
    texts += ["".join(rng.choices([*PIECES, *"ab#:'\"\\-"], k=rng.randrange(120))) for _ in range(500)]
    write_yaml(tmp_path / "a.yaml", {"texts": texts, "numbers": [1, -1, 1e-5, 1e300, float("inf"), True, None]})
    stored = read_yaml(tmp_path / "a.yaml")
    assert stored == {"texts": texts, "numbers": [1, -1, 1e-5, 1e300, float("inf"), True, None]}
    assert [type(number) for number in stored["numbers"][-3:]] == [float, bool, type(None)]


def test_text_is_read_and_written_whatever_the_locale(tmp_path: Path) -> None:
    value = {"name": "ü 中 \u2028 \U0001f600"}
    write_yaml(tmp_path / "a.yaml", value)
    write_json(tmp_path / "a.json", value)
    code = (
        "import locale, sys; from pathlib import Path; from src.system.files import *\n"
        "assert locale.getpreferredencoding(False) != 'utf-8', 'the locale tests nothing'\n"
        f"a, b = read_yaml(Path({str(tmp_path / 'a.yaml')!r})), read_json(Path({str(tmp_path / 'a.json')!r}))\n"
        f"assert a == b == {value!a}; write_yaml(Path({str(tmp_path / 'b.yaml')!r}), a)"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.yaml").read_bytes() == (tmp_path / "a.yaml").read_bytes()


@pytest.mark.parametrize(
    ("reader", "content", "reason"),
    [
        ("yaml", b"a: &x [1]\nb: *x", "line 2 has an alias"),
        ("yaml", b"a: &a [x]\n" + b"".join(b"b%d: [*a, *a]\n" % i for i in range(99)), "line 2 has an alias"),
        *(("yaml", start * 100_000, "collections deep") for start in (b"[", b"- ", b"? ", b"{a: ")),
        ("yaml", b"a: 1\nb: 2\na: 3", "line 3 has the key 'a' a second time"),
        ("yaml", b"a: {b: 1, b: 2}", "line 1 has the key 'b' a second time"),
        ("yaml", b"a: 2020-01-01", "timestamp"),
        ("yaml", b"a: !!python/object/apply:os.system [x]", "os.system"),
        ("yaml", b"1: 2", "a key that is no text"),
        ("yaml", b"a: 1\n\tb: 2", "line 2"),
        ("yaml", b"a: [1", "line"),
        ("yaml", b"a: \x00", "#x0000"),
        ("yaml", b"a: " + b"9" * 5000, "digits"),
        ("yaml", b"a: 1\n---\nb: 2", "document"),
        ("yaml", b"a: \xff\xfe", "byte 3 is no UTF-8"),
        ("json", b'{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("json", b"[" * 100_000, "recursion"),
        ("json", b"9" * 5000, "digits"),
        ("json", b"", "line 1 column 1"),
        ("json", b'{"a": 1', "delimiter"),
        ("json", b'{"a": "\xe9"}', "byte 7 is no UTF-8"),
        ("text", b"\xe9", "byte 0 is no UTF-8"),
    ],
)
def test_damaged_content_is_said(reader: str, content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(DamagedError, match="is damaged") as caught:
        READERS[reader](path)
    assert time.perf_counter() - start < 5
    assert reason in caught.value.reason and caught.value.path == path and len(str(caught.value)) < 300


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "no regular file"),
        (os.mkdir, "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.open("wb").truncate(2**40), "more than 67,108,864 bytes"),
    ],
    ids=["pipe", "folder", "device", "loop", "terabyte"],
)
def test_what_is_no_file_is_not_waited_for(
    reader: str, make: Callable[[Path], Any], reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "file")
    with pytest.raises(DamagedError, match=reason):
        READERS[reader](tmp_path / "file")


@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_there_is_not_damaged(reader: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no", tmp_path / "no/no", tmp_path / "file/no"):
        with pytest.raises(FileNotFoundError):
            READERS[reader](path)
