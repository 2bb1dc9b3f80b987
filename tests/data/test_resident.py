"""Where images are changes no bit of a batch; what a DataLoader takes is what would be taken without it."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from src.data import resident
from src.data.base import Batch
from src.data.image_folder import ImageFolderData
from src.data.resident import Ahead, Rows, on_host
from tests.data.batches import pairs
from tests.data.settings import digits, image_settings

CPU, GPU = torch.device("cpu"), torch.device("cuda")
WHOLE = torch.arange(120, dtype=torch.uint8).reshape(10, 3, 2, 2)


def test_rows_are_those_of_the_tensor() -> None:
    chosen = torch.tensor([7, 2, 2, 9])
    for rows, expected in (
        (Rows(WHOLE), WHOLE),
        (Rows(WHOLE).of(chosen), WHOLE[chosen]),
        (Rows(WHOLE, chosen), WHOLE[chosen]),
        (Rows(WHOLE, chosen).of(torch.tensor([3, 0])), WHOLE[[9, 7]]),
    ):
        assert len(rows) == len(expected) and rows.shape == expected.shape and rows.nbytes == expected.nbytes
        assert torch.equal(rows[:], expected)
        assert torch.equal(rows[1:3], expected[1:3])
        assert torch.equal(rows[torch.tensor([1, 0])], expected[[1, 0]])


@pytest.mark.parametrize("block", [1, 25, 2**20])
def test_rows_are_copied_a_block_at_a_time(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BLOCK", block)
    rows = Rows(WHOLE, torch.tensor([7, 2, 2, 9, 0]))
    assert max(len(part) for _, part in rows.blocks()) == min(5, max(1, block // 12))
    copy = rows.to(CPU)
    assert torch.equal(copy[:], rows[:])
    assert copy.whole.data_ptr() != WHOLE.data_ptr()


def test_images_stay_on_the_host_where_they_would_fill_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))  # free, in all
    assert [on_host("auto", size, GPU) for size in (500, 501)] == [False, True]
    assert [on_host(where, 10**6, GPU) for where in ("device", "host")] == [False, True]
    assert [on_host(where, 10**6, CPU) for where in ("auto", "device", "host")] == [False, False, True]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """What each DataLoader that is started is asked for."""
    orders: list[range] = []

    class Counted(resident.DataLoader):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            orders.append(kwargs["sampler"])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(resident, "DataLoader", Counted)
    return orders


def fetch(index: int) -> Batch:
    if index == 13:
        raise ValueError("batch 13 is damaged")
    return torch.full((2, 3), index), torch.tensor([index])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("asked", "starts"),
    [
        (range(12), 1),
        (range(5, 12), 1),  # a run that goes on
        (range(1, 12, 3), 2),  # a rank's share: the step is seen at its second batch
        ([0, 1, 2, 0, 1, 2], 2),  # a validation, and the next
        ([4, 2, 9, 9, 0, 11], None),
    ],
)
def test_any_order_gives_the_batches_asked_for(
    asked: Any, starts: int | None, workers: int, started: list[range]
) -> None:
    ahead = Ahead(fetch, 12, CPU)
    ahead.workers = workers
    state = torch.get_rng_state()
    for index in asked:
        inputs, targets = ahead(index)
        assert targets.tolist() == [index] and inputs.eq(index).all()
    assert torch.equal(torch.get_rng_state(), state)  # dropout draws from it
    assert starts is None or len(started) == starts


def test_workers_end_with_the_last_batch() -> None:
    before = set(multiprocessing.active_children())
    ahead = Ahead(fetch, 5, CPU)
    ahead.workers = 2
    for index in range(5):
        ahead(index)
        assert len(set(multiprocessing.active_children()) - before) == (2 if index < 4 else 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_in_a_worker_is_raised(workers: int) -> None:
    ahead = Ahead(fetch, 20, CPU)
    ahead.workers = workers
    for index in range(13):
        ahead(index)
    with pytest.raises(ValueError, match="batch 13 is damaged"):
        ahead(13)
    if workers:  # the error holds on to them: what collects it much later would wait five seconds for each
        ahead.batches._shutdown_workers()  # type: ignore[attr-defined]


def two(**changes: Any) -> tuple[Any, Any]:
    """The digits in memory, and on the host behind a DataLoader."""
    found = []
    for where in ("auto", "host"):
        data = digits(resident=where, batch_size=70, **changes)
        data.to(CPU)
        found.append(data)
    assert [data.on_host for data in found] == [False, True]
    return found[0], found[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pad": 2, "flip": True, "cutout": 8},
        {"binarise": "dynamic"},
        {"pad": 2, "mixup": "cutmix", "label_noise": 0.2},
        {"binary": "odd_even", "imbalance": 5.0, "train_examples": 300},
    ],
    ids=str,
)
def test_every_batch_is_the_same(changes: dict[str, Any], started: list[range]) -> None:
    memory, host = two(**changes)
    assert memory.spec == host.spec
    steps = memory.steps_per_epoch() + 5  # into the second epoch
    for repeat, rank, world in ((None, 0, 1), (None, 1, 2), (3, 0, 1)):
        one, other = (data.train_loader(5, steps, repeat=repeat, rank=rank, world=world) for data in (memory, host))
        torch.testing.assert_close(pairs(one), pairs(other), rtol=0, atol=0)
    for split in ("train", "val", "test"):
        one, other = (pairs(data.eval_loader(split)) for data in (memory, host))
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert len(started) == 3 + 3


def test_a_run_goes_on_at_its_position() -> None:
    memory, host = two(pad=2)
    loader = host.train_loader(0, 9)
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    resumed = host.train_loader(0, 9)
    resumed.load_state_dict(loader.state_dict())
    rest = pairs(resumed)
    assert len(rest) == 5
    torch.testing.assert_close(rest, [memory.train_batch(0, step) for step in range(4, 9)], rtol=0, atol=0)


def test_only_pixels_and_labels_are_taken() -> None:
    """A quarter of what a batch of floats would be travels to the device, and of it a rank's share alone."""
    _, host = two(pad=2)
    pixels, labels = host._take(0, 3, 1, 2)
    assert pixels.dtype == torch.uint8
    assert len(pixels) == len(labels) == 35


def test_a_folder_of_images_is_not_copied_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split in ("train", "test"):
        for k, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (4, 4), (10 * i, k, 3)).save(tmp_path / split / name / f"{i}.png")
    data = ImageFolderData(root=str(tmp_path), image_size=4, **image_settings(batch_size=4))
    data.load()
    data.to(CPU)
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    maps = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
    spans = [tuple(int(end, 16) for end in span.split("-")) for span in maps]
    for images, _ in data.splits.values():
        assert any(low <= images.whole.data_ptr() < high for low, high in spans)
    assert data.splits["test"][0][:][:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50] * 2


def test_what_was_drawn_before_the_data_moved_does_not_hold_them_back() -> None:
    """speed=fast draws a batch on the CPU first, to see how long it takes."""
    data, meta = digits(train_examples=128), torch.device("meta")
    for device in (CPU, meta):
        data.to(device)
        assert data._rows_of_step(0, 0).device == device
    assert data.train_batch(0, 0)[0].device == meta
