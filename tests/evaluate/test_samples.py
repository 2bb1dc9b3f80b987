"""evaluate.py writes text, and draws images."""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src.config.evaluation import read
from src.data.alphabet import encode
from src.data.base import generator
from src.runs.rebuild import rebuild
from src.tasks.generation import generate
from tests.conftest import ROOT
from tests.evaluate.runs import loaded, state


def greedy(run: Path, prompt: str, length: int) -> str:
    made = rebuild(run)
    ids = encode(prompt, made.spec)
    for _ in range(length):
        ids = torch.cat([ids, made.model(ids[:, -8:])[:, -1].argmax(-1, keepdim=True)], 1)
    return "".join(made.spec.class_names[i] for i in ids[0].tolist())


@pytest.mark.parametrize("words", [["top_k=1"], ["temperature=1e-6", "seed=3"]], ids=str)
def test_greedy(
    words: list[str], finished: Callable[[str], Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    run = finished("text")
    expected = greedy(run, "to be", 20)
    capfd.readouterr()
    assert command(run, "sample=20", "prompt=to be", *words) == 0
    assert capfd.readouterr().out == f"{expected}\n"


def test_samples_are_those_of_generate(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From the folder alone, the text is gone; three of them, from a prompt with a sign of the grammar in it."""
    run = Path(shutil.copytree(finished("text"), tmp_path / "run"))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("path: /", "path: /gone/"))
    before = state(run)
    made = rebuild(run)
    ids = generate(
        made.model,
        made.loss,
        encode("a=b; is", made.spec).expand(3, -1),
        length=30,
        context=8,
        temperature=0.8,
        top_k=5,
        g=generator("evaluation", 4),
    )
    expected = ["".join(made.spec.class_names[i] for i in row) for row in ids.tolist()]
    capfd.readouterr()
    words = ["prompt=a=b; is", "sample=30", "count=3", "temperature=0.8", "top_k=5", "seed=4"]
    assert command(run, *words) == 0
    assert capfd.readouterr().out == "\n\n--------\n\n".join(expected) + "\n"
    assert len(set(expected)) == 3
    assert state(run) == before, "samples go to the screen alone"


def pixels(path: Path, count: int) -> np.ndarray:
    """The images of a grid of 28 x 28 images with two pixels between them."""
    shown = np.asarray(Image.open(path))
    columns = math.ceil(math.sqrt(count))
    times = shown.shape[1] // (30 * columns - 2)
    small = shown[::times, ::times]
    corners = [(30 * (i // columns), 30 * (i % columns)) for i in range(count)]
    return np.stack([small[y : y + 28, x : x + 28] for y, x in corners])


def latents(seed: int, count: int) -> Tensor:
    z = [torch.randn(16, 3, generator=generator("latents", "samples", seed, batch)) for batch in range(2)]
    return torch.cat(z)[:count]


@pytest.mark.parametrize(("words", "seed", "scale"), [((), 0, 1), (("seed=3", "temperature=0.5"), 3, 0.5)], ids=str)
def test_images_are_those_of_the_tested_weights(
    words: tuple[str, ...],
    seed: int,
    scale: float,
    finished: Callable[[str], Path],
    command: Callable[..., int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """From the folder alone; twice, the same bits; the average weights, for this run has one."""
    run = Path(shutil.copytree(finished("vae"), tmp_path / "run"))
    made = rebuild(run)
    with torch.no_grad():
        expected = made.model.decode(scale * latents(seed, 20)).sigmoid()[:, 0]  # type: ignore[operator]
    name = "-".join(["sample20", *(word.replace("=", "") for word in words)])
    before = state(run)
    kept = []
    for _ in range(2):
        capfd.readouterr()
        assert command(run, "sample=20", *words) == 0
        told = capfd.readouterr().out
        assert f"20 images, of latents of seed {seed} at temperature {scale:g}" in told and f"{name}.png" in told
        kept.append([(run / "evaluations" / f"{name}.{end}").read_bytes() for end in ("png", "json")])
    assert kept[0] == kept[1]
    apart = np.abs(pixels(run / "evaluations" / f"{name}.png", 20) - 255 * expected.numpy())
    assert apart.max() <= 0.501
    assert {path for path in state(run) if path not in before} >= {str(run / "evaluations" / f"{name}.png")}
    told_of = loaded(run / "evaluations" / f"{name}.json")
    assert (told_of["sample"], told_of["seed"], told_of["temperature"]) == (20, seed, scale)
    assert command(run, "sample=17", *words) == 0
    assert np.array_equal(
        pixels(run / "evaluations" / f"{name.replace('20', '17')}.png", 17),
        pixels(run / "evaluations" / f"{name}.png", 20)[:17],
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ROMEO:", "ROMEO:"),
        ("First Citizen: go", "First Citizen: go"),
        (r"a\nb", "a\nb"),
        ("a\nb", "a\nb"),
        (r"a\\nb", r"a\nb"),
        ("[x", "[x"),
        ("a=b=c", "a=b=c"),
        ("'quoted'", "'quoted'"),
        ("${x}", "${x}"),
        (" ", " "),
    ],
)
def test_prompts_as_they_are_typed(typed: str, meant: str) -> None:
    asked = read(["run", "sample=3", f"prompt={typed}"])
    assert asked.sample == {"sample": 3, "prompt": meant}


def test_a_prompt_outside_of_the_alphabet(
    finished: Callable[[str], Path], command: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    run = finished("text")
    assert command(run, "sample=3", "prompt=to Zoe") == 2
    assert "prompt: the character 'Z' is not in the text's alphabet" in capfd.readouterr().err


def test_a_reader_that_leaves_is_no_fault(
    finished: Callable[[str], Path], command: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples in this process; in one of its own, whose interpreter flushes once more at its end, the usage."""
    end, other = os.pipe()
    os.close(end)
    with os.fdopen(other, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert command(finished("text"), "sample=20") == 0
    words = [sys.executable, str(ROOT / "evaluate.py"), "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


WATCHED = """
import runpy, sys
import src.system.torchvision_cpu
from src.tasks import generation

begin = generation.generate
generation.generate = lambda *a, **k: print("begun", flush=True) or begin(*a, **k)
sys.argv = ["evaluate.py", *sys.argv[1:]]
runpy.run_path("evaluate.py", run_name="__main__")
"""


@pytest.mark.slow
def test_ctrl_c(finished: Callable[[str], Path]) -> None:
    """Status 130 and no traceback, in the middle of the work."""
    words = [sys.executable, "-c", WATCHED, str(finished("text")), "sample=1000000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr and process.stderr.read() == ""
