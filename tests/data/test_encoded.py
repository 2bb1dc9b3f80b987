"""A text read through a memory map is the text in memory: ids, alphabet, fingerprint and every batch."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.data import encoded, text
from src.data.base import DataError
from src.data.text import TextFile
from src.system.files import read_yaml, write_yaml
from tests.data.batches import pairs
from tests.data.test_text import SETTINGS, TEXT

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that characters are cut in two; and a cache of the test's own."""
    monkeypatch.setattr(encoded, "CHUNK", 7)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def both(path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[TextFile, TextFile]:
    """The same file in memory and mapped."""
    found = []
    for least in (2**25, 0):
        monkeypatch.setattr(text, "MAPPED_FROM", least)
        data = TextFile(path=str(path), **{**SETTINGS, **changes})
        assert data.in_memory == (least > 0)
        data.load()
        found.append(data)
    return found[0], found[1]


@pytest.mark.parametrize("test_fraction", [0.1, 0.0])
def test_every_batch_is_the_same(test_fraction: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    memory, mapped = both(path, monkeypatch, test_fraction=test_fraction)
    assert mapped.spec == memory.spec
    assert mapped.fingerprint() == memory.fingerprint()
    assert mapped.steps_per_epoch() == memory.steps_per_epoch()
    for data in (memory, mapped):
        data.to(torch.device("cpu"))
    for step in range(20):
        for rank in range(2):
            one, other = (data.train_batch(3, step, rank, 2) for data in (memory, mapped))
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    for split in ("train", "val", "test"):
        one, other = (pairs(data.eval_loader(split)) for data in (memory, mapped))
        assert len(one) == memory.eval_batches(split)
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_another_run_s_alphabet_is_adopted_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").write_text("zyx✓" + TEXT * 2)
    (tmp_path / "text").write_text(TEXT)
    _, model = both(tmp_path / "model", monkeypatch)
    memory, mapped = both(tmp_path / "text", monkeypatch)
    for data in (memory, mapped):
        data.adopt(model.spec)
        data.to(torch.device("cpu"))
    one, other = (pairs(data.eval_loader("test")) for data in (memory, mapped))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    targets = [model.spec.class_names[i] for _, y in other for i in y.flatten().tolist()]
    assert "".join(targets) == TEXT[-184:][1:]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(min_size=2).filter(lambda s: len(set(s)) > 1), st.integers(1, 9))
def test_any_text_in_any_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, chunk: int) -> None:
    monkeypatch.setattr(encoded, "CHUNK", chunk)
    path = tmp_path / str(next(NUMBERS))
    path.write_bytes(content.encode())
    ids, alphabet, _ = encoded.encoded(path)
    assert alphabet == tuple(sorted(set(content.removeprefix("\ufeff"))))
    assert "".join(alphabet[i] for i in ids.tolist()) == content.removeprefix("\ufeff")


ODD = "\0\x01\x1b\x7f\x80\x85\u2028\u2029\u0301e\u0301\ufffe\uffff\U0001f600\U0010ffff\ufeff\u202e\t"


def test_every_character_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends of each kind, controls, separators, combining and astral characters; by way of config.yaml too."""
    content = "".join(f"{c}\r\n{c}\r{c}\n" for c in ODD) * 9
    path = tmp_path / "text"
    path.write_bytes(content.encode())
    memory, mapped = both(path, monkeypatch, test_fraction=0.1)
    for data in (memory, mapped):
        ids = torch.cat([data.parts[split] for split in ("train", "val", "test")]).tolist()
        assert "".join(data.spec.class_names[i] for i in ids) == content
    assert memory.spec == mapped.spec
    assert memory.fingerprint() == mapped.fingerprint()
    write_yaml(tmp_path / "config.yaml", {"class_names": list(memory.spec.class_names)})
    assert tuple(read_yaml(tmp_path / "config.yaml")["class_names"]) == memory.spec.class_names


def test_what_is_kept_is_of_the_content_whatever_the_times(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text(TEXT)
    os.utime(path, ns=(1, 1))
    before = encoded.encoded(path)
    path.write_text(TEXT.replace("To be", "to BE"))  # of the same size
    os.utime(path, ns=(1, 1))
    after = encoded.encoded(path)
    assert after.digest != before.digest
    assert "".join(after.alphabet[i] for i in after.ids.tolist()) == path.read_text()


def test_a_flipped_bit_of_what_is_kept_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text(TEXT)
    before = encoded.encoded(path).ids.tolist()
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    raw = bytearray(kept.read_bytes())
    raw[-9] ^= 1
    kept.write_bytes(raw)
    assert encoded.encoded(path).ids.tolist() == before


@pytest.mark.parametrize(("characters", "dtype"), [(256, torch.uint8), (257, torch.int16), (40_000, torch.int32)])
def test_ids_are_as_narrow_as_the_alphabet_allows(
    characters: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "CHUNK", 2**16 + 1)
    points = [chr(i) for i in range(0x20000, 0x20000 + characters)]
    path = tmp_path / "text"
    path.write_text("".join(points[::-1]))
    ids, alphabet, _ = encoded.encoded(path)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(characters))[::-1]
    assert list(alphabet) == points


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"to be or not " * 9 + b"caf\xe9 noir", "byte 0xe9 at 120;"), (b"to be or not \xe2\x80", "byte 0xe2 at 13;")],
)
def test_what_is_no_utf8_is_told_with_its_place(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"text is not UTF-8: {expected}"):
        encoded.encoded(path)
    assert not (tmp_path / "cache").exists()


def test_a_file_is_encoded_once_and_again_when_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_text(TEXT)
    first = encoded.encoded(path)
    assert "encoding" in capsys.readouterr().out
    assert encoded.encoded(path)[2] == first[2]
    assert capsys.readouterr().out == ""
    path.write_text(TEXT.replace("question", "Question"))
    os.utime(path, ns=(1, 1))
    assert "Q" in encoded.encoded(path)[1]
    assert first[0].tolist() == [first[1].index(c) for c in TEXT]  # a run that has the old one keeps it
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


def test_a_file_that_grows_meanwhile_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_text(TEXT)
    numbered = encoded.numbered

    def grow(counts: torch.Tensor) -> Any:
        with path.open("a") as file:
            file.write(TEXT)
        return numbered(counts)

    monkeypatch.setattr(encoded, "numbered", grow)
    with pytest.raises(DataError, match="text was changed while it was read"):
        encoded.encoded(path)
    assert not (tmp_path / "cache").exists()
