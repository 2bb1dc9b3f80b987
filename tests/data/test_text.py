"""Text: alphabet, parts, windows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from src.data.base import DataError
from src.data.text import PythonDocs, TextFile, TinyShakespeare
from tests.data.batches import pairs

SETTINGS = {"block_size": 8, "batch_size": 4, "eval_batch_size": 3, "val_fraction": 0.1, "test_fraction": 0.1}
TEXT = "To be, or not to be: that is the question — ✓\n" * 40


def text_file(tmp_path: Path, text: str = TEXT, **changes: Any) -> TextFile:
    path = tmp_path / "text"
    path.write_text(text)
    data = TextFile(path=str(path), **{**SETTINGS, **changes})
    data.load()
    return data


def decoded(data: Any, ids: torch.Tensor) -> str:
    return "".join(data.spec.class_names[i] for i in ids.flatten().tolist())


def test_parts_are_the_text_in_order(tmp_path: Path) -> None:
    data = text_file(tmp_path)
    parts = [decoded(data, data.parts[split]) for split in ("train", "val", "test")]
    assert "".join(parts) == TEXT
    assert [len(part) for part in parts] == [1472, 184, 184]
    assert data.spec.class_names == tuple(sorted(set(TEXT)))
    assert data.spec.class_counts == tuple(parts[0].count(c) for c in data.spec.class_names)


def test_without_a_test_part_validation_stands_in_and_says_so(tmp_path: Path) -> None:
    data = text_file(tmp_path, test_fraction=0)
    assert torch.equal(data.parts["test"], data.parts["val"])
    assert "no test split" in data.notes[0]


def test_windows_are_of_the_training_part_and_targets_are_one_on(tmp_path: Path) -> None:
    data = text_file(tmp_path)
    train = decoded(data, data.parts["train"])
    for step in range(30):
        x, y = data.train_batch(0, step)
        assert x.shape == y.shape == (4, 8)
        assert torch.equal(x[:, 1:], y[:, :-1])
        for window in torch.cat([x, y[:, -1:]], 1):
            assert decoded(data, window) in train


def test_every_window_can_be_drawn(tmp_path: Path) -> None:
    data = text_file(tmp_path, "".join(chr(200 + i) for i in range(60)) + "xy" * 20, batch_size=70)
    starts = {data.spec.class_names[i] for step in range(20) for i in data.train_batch(0, step)[0][:, 0].tolist()}
    train = decoded(data, data.parts["train"])
    assert starts == set(train[: len(train) - 8])


def test_batches_are_a_function_of_seed_and_step_and_ranks_share_them(tmp_path: Path) -> None:
    data = text_file(tmp_path)
    torch.testing.assert_close(data.train_batch(1, 9), data.train_batch(1, 9))
    assert not torch.equal(data.train_batch(1, 9)[0], data.train_batch(1, 10)[0])
    whole = data.train_batch(1, 9)[0]
    assert torch.equal(torch.stack([data.train_batch(1, 9, r, 2)[0] for r in range(2)], 1).flatten(0, 1), whole)


@pytest.mark.parametrize("characters", [300, 321, 322, 329])
def test_evaluation_covers_every_character_once(tmp_path: Path, characters: int) -> None:
    data = text_file(tmp_path, (TEXT * 3)[: characters * 10], eval_batch_size=5)
    batches = pairs(data.eval_loader("val"))
    assert len(batches) == data.eval_batches("val")
    part = data.parts["val"].tolist()
    assert [i for _, y in batches for i in y.flatten().tolist()] == part[1:]
    assert [i for x, _ in batches for i in x.flatten().tolist()] == part[:-1]


def test_an_epoch_is_the_length_of_the_training_part(tmp_path: Path) -> None:
    assert text_file(tmp_path).steps_per_epoch() == 1472 // (4 * 8)


def test_more_than_256_characters(tmp_path: Path) -> None:
    data = text_file(tmp_path, "".join(chr(0x4E00 + i % 500) for i in range(3000)))
    assert data.spec.num_classes == 500
    assert decoded(data, data.parts["train"])[:3] == "一丁丂"


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one = text_file(tmp_path).fingerprint()
    assert one == text_file(tmp_path).fingerprint()
    assert one != text_file(tmp_path, TEXT + "!").fingerprint()


def test_python_docs_come_with_python() -> None:
    data = PythonDocs(**SETTINGS)
    data.load()
    assert sum(data.spec.class_counts) > 300_000
    assert 90 < data.spec.num_classes < 200
    assert data.fingerprint() == PythonDocs(**SETTINGS).fingerprint()


def test_tiny_shakespeare_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "tiny_shakespeare" / "input.txt"
    path.parent.mkdir()
    path.write_text("First Citizen: nay")
    with pytest.raises(DataError, match="is not the usual file"):
        TinyShakespeare(root=str(tmp_path), **SETTINGS).load()


def test_tiny_shakespeare_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match=r"no route to host.*data.root=FOLDER, or use data=python_docs"):
        TinyShakespeare(root=str(tmp_path), **SETTINGS).load()
    assert list(tmp_path.iterdir()) == []


def test_tiny_shakespeare(real_data: Path) -> None:
    data = TinyShakespeare(root=str(real_data), **{**SETTINGS, "test_fraction": 0.0})
    data.load()
    assert data.spec.num_classes == 65
    assert [len(data.parts[split]) for split in ("train", "val")] == [1_003_854, 111_540]  # nanoGPT prints these
    assert decoded(data, data.parts["train"][:14]) == "First Citizen:"


def test_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    data = TextFile(path=str(tmp_path / "text"), **SETTINGS)
    assert data.read() == TEXT
