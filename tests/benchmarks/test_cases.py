"""The hand-written sides of each case train what xent trains."""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks import batches, cifar_resnet20, evaluation, mnist_mlp, scaling, shakespeare_gpt, sides, switches
from benchmarks.cases import CASES
from src.data.mnist import MNIST
from src.optim.schedules import Cosine

FILES = {"mnist_mlp": mnist_mlp, "shakespeare_gpt": shakespeare_gpt, "cifar_resnet20": cifar_resnet20}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few examples of each case, in the files that it reads."""
    home, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    raw = home / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 600), ("t10k", 60)):
        images, labels = rng.integers(256, size=(count, 28, 28)), np.arange(count) % 10
        header = b"".join(n.to_bytes(4, "big") for n in (0x803, count, 28, 28))
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.astype(np.uint8).tobytes())
        header = b"".join(n.to_bytes(4, "big") for n in (0x801, count))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
    (home / "tiny_shakespeare").mkdir()
    letters = rng.choice(list("etaoin shrdlu\n"), 4000)
    (home / "tiny_shakespeare" / "input.txt").write_text("".join(letters))
    for k in range(10):
        folder = home / "train" / str(k)
        folder.mkdir(parents=True)
        for i in range(30):
            Image.fromarray(rng.integers(256, size=(32, 32, 3)).astype(np.uint8)).save(folder / f"{i}.jpg")
    return dict.fromkeys(FILES, home)


@pytest.mark.parametrize("side", ["bare", pytest.param("usual", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", FILES)
def test_a_side_takes_its_steps_and_reports(
    case: str, side: str, roots: dict[str, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(roots[case] / "cache"))
    words = [side, "--data-root", str(roots[case]), "--steps", "2", "--measured-from", "1"]
    FILES[case].main(words)
    line = next(line for line in capfd.readouterr().out.splitlines() if line.startswith("{"))
    figures = json.loads(line)
    assert figures["steps"] == 1
    assert 0 < figures["seconds"] < figures["whole"]
    assert math.isfinite(figures["val_nll"])


@pytest.mark.parametrize("case", ["shakespeare_gpt", "cifar_resnet20"])
def test_switches_keep_the_loss(case: str, roots: dict[str, Path]) -> None:
    """bfloat16 has 8 bits of mantissa."""
    plain = argparse.Namespace(device="cpu", compile=False, graphs=False, bf16=False, channels_last=False)
    fast = argparse.Namespace(**vars(plain) | {"bf16": True, "channels_last": case == "cifar_resnet20"})
    torch.manual_seed(0)
    if case == "shakespeare_gpt":
        model, batch = shakespeare_gpt.model(65), torch.randint(65, (2, 3, 64)).unbind()
    else:
        model, batch = cifar_resnet20.model(), (torch.randn(16, 3, 32, 32), torch.arange(16) % 10)
    exact, rounded = (sides.switched(model, given)(*batch).item() for given in (plain, fast))
    assert exact == pytest.approx(rounded, rel=2e-2)
    assert exact != rounded


def test_attention_is_taken_in_float32_and_given_back() -> None:
    q = torch.randn(1, 2, 8, 4, dtype=torch.bfloat16)
    plain = F.scaled_dot_product_attention
    with sides.attention_in_float32():
        y = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    assert F.scaled_dot_product_attention is plain
    torch.testing.assert_close(y, plain(q.float(), q.float(), q.float(), is_causal=True))


def test_both_hold_out_what_xent_holds_out(roots: dict[str, Path]) -> None:
    settings = {"val_fraction": mnist_mlp.SPLIT, "root": str(roots["mnist_mlp"])}
    data = sides_data(MNIST, **settings)
    data.load()
    given = argparse.Namespace(data_root=roots["mnist_mlp"], workers=0, device="cpu")
    val = next(iter(mnist_mlp.loaders(given)[1]))
    inputs, targets = data.eval_batch("val", 0)
    torch.testing.assert_close(val[1], targets)
    pixels, ours = (val[0] * mnist_mlp.STD + mnist_mlp.MEAN), inputs * data.std + data.mean
    torch.testing.assert_close(pixels, ours, atol=1e-5, rtol=0)


def sides_data(cls: Callable[..., MNIST], **settings: object) -> MNIST:
    """The data set with the defaults of its YAML."""
    import yaml

    stored = yaml.safe_load((sides.ROOT / "conf" / "data" / "defaults" / "images.yaml").read_text())
    return cls(**stored | settings)


def test_evaluation_with_metrics_and_without(capfd: pytest.CaptureFixture[str]) -> None:
    words = ("data=mnist_5k", "trainer.threads=1", "trainer.accelerator=cpu", "scheduler.warmup_steps=9")
    evaluation.main(["--rounds", "2", "--steps", "2", "--", *words])
    rounds = json.loads(capfd.readouterr().out.splitlines()[-1])["rounds"]
    assert len(rounds) == 2
    assert min(value for each in rounds for value in each.values()) > 0


def test_switches_are_timed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels first is of residual networks alone, and truly so; nothing is compiled here."""
    monkeypatch.setattr(torch, "compile", lambda function, **how: function)
    shared = ["trainer.threads=1", "trainer.accelerator=cpu", "data=mnist_5k", "data.batch_size=4"]
    for model, odd in (("model=mlp", set()), ("model=resnet", {"channels first"})):
        switches.main(["--rounds", "2", "--steps", "1", "--", *shared, model])
        found = json.loads(capfd.readouterr().out.splitlines()[-1])
        names = set(switches.VARIANTS) - {"channels first"} | odd
        assert set(found["first"]) == names and [set(each) for each in found["rounds"]] == 2 * [names]
    network = sides.network("resnet", depth=8, input_shape=(3, 8, 8), outputs=2)
    switches.channels_first(network)
    seen: list[bool] = []
    network.body.register_forward_hook(lambda module, inputs, output: seen.append(output.is_contiguous()))
    network(torch.zeros(2, 3, 8, 8))
    assert seen == [True]


def test_both_sources_of_batches_are_timed(roots: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    root = str(roots["mnist_mlp"])
    words = ["--case", "mnist_mlp", "--data-root", root, "--rounds", "2", "--batches", "2", "--workers", "0"]
    batches.main([*words, "--", "data=mnist", f"data.root={root}", "trainer.threads=1", "trainer.accelerator=cpu"])
    rounds = json.loads(capfd.readouterr().out.splitlines()[-1])["rounds"]
    assert [set(each) for each in rounds] == 2 * [{"xent", "0 workers"}]


def test_mapped_windows_are_of_the_text(roots: dict[str, Path], tmp_path: Path) -> None:
    home = roots["shakespeare_gpt"]
    paths, characters = shakespeare_gpt.write_parts(home, tmp_path)
    x, y = shakespeare_gpt.draw(paths["train"])
    text = (home / "tiny_shakespeare" / "input.txt").read_text()
    alphabet = sorted(set(text))
    assert characters == len(alphabet)
    assert x.shape == y.shape == (12, 64)
    for window, following in zip(x.tolist(), y.tolist(), strict=True):
        assert "".join(alphabet[i] for i in [*window, following[-1]]) in text[: int(0.9 * len(text))]
        assert window[1:] == following[:-1]


def test_learning_rate_is_that_of_the_experiment() -> None:
    schedule = Cosine(total=2000, warmup_steps=100, final_factor=0.1)
    for step in (0, 50, 99, 100, 101, 1000, 1999):
        assert shakespeare_gpt.rate(step, 2000) == pytest.approx(1e-3 * schedule(step), rel=1e-12)


def test_blocks_predict_each_next_character() -> None:
    ids = torch.arange(64 * 100 + 11)
    found = shakespeare_gpt.blocks(ids, None)
    inputs, targets = (torch.cat([batch[i].flatten() for batch in found]) for i in (0, 1))
    assert torch.equal(inputs, ids[: 64 * 100])
    assert torch.equal(targets, inputs + 1)


def test_augmentation_shifts_and_mirrors() -> None:
    """Each image is found among the 9 x 9 crops of its padded self, as it is or mirrored; both kinds occur."""
    torch.manual_seed(0)
    images = torch.arange(24 * 3 * 32 * 32).remainder(251).to(torch.uint8).view(24, 3, 32, 32)
    padded = F.pad(images, [cifar_resnet20.PAD] * 4)
    moved = cifar_resnet20.augmented(padded, torch.arange(32))
    seen = set()
    for image, around in zip(moved, padded, strict=True):
        crops = {
            (row, column): around[:, row : row + 32, column : column + 32] for row in range(9) for column in range(9)
        }
        hits = [
            (m, at)
            for at, crop in crops.items()
            for m in (False, True)
            if torch.equal(crop.flip(2) if m else crop, image)
        ]
        assert hits
        seen.add(hits[0][0])
    assert seen == {False, True}


def test_clock_is_read_where_xent_logs() -> None:
    for case in CASES.values():
        assert 0 < case.measured_from < case.steps
        assert (case.steps + case.measured_from) % case.log_every == 0


@pytest.mark.skipif(not hasattr(torch.nn, "LinearCrossEntropyOptions"), reason="this torch has none")
def test_chunked_head_gives_the_same_loss_and_gradients() -> None:
    row = {"model": "gpt", "batch": 3, "width": 32, "classes": 100}
    results = []
    for chunked in (False, True):
        torch.manual_seed(0)
        network, loss = scaling.built(row | {"chunked": chunked}, "cpu")
        value = loss()
        value.backward()
        results.append((value.detach(), network.tokens.weight.grad))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)
