"""evaluate.py's bad commands: one message, before torch is imported, and nothing left behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.evaluate.runs import state

BAD = [
    ("text", "shift=noise", "shift=noise makes images worse, and this run reads text"),
    ("images", "sample=5", "sample= is for runs that make text or images, and a run with loss=ce makes neither"),
    ("images", "shft=noise", "unknown key 'shft': a run keeps its configuration. Did you mean shift?"),
    ("images", "loss=focal", "a run keeps its configuration, and loss=focal is not in it: leave it out"),
    (
        "images",
        "shift=nois",
        "one of noise, blur, contrast, rotate, all, got 'nois'. Did you mean noise?",
    ),
    ("images", "shift=noise,blur", "several are shift=[noise,blur]"),
    ("images", "shift=[noise,all]", "shift must be all by itself"),
    ("images", "shift=[]", "shift must be all by itself, or a list of kinds"),
    ("images", "shift=[noise", "quotes of their own"),
    ("images", "shift=null", "shift must be one of"),
    ("images", "shift=noise severity=6", "severity must be an integer >= 1 and <= 5, got 6"),
    ("images", "shift=noise severity=", "severity must be an integer >= 1 and <= 5, got ''"),
    ("images", "severity=3", "severity= is that of a shift: add shift=KIND"),
    ("images", "shift=noise shift=blur", "shift is there twice"),
    ("images", "data.root=a data.root=b", "data.root is there twice: data.root=a and data.root=b"),
    ("images", "noise", "'noise' is not of the form key=value"),
    ("images", "--fast", "'--fast' is not of the form key=value"),
    ("images", "data=mnits", "unknown data 'mnits'. Did you mean mnist"),
    ("images", "data.rot=x", "unknown key 'rot' in data"),
    ("images", "data.eval_batch_sise=3", "unknown key 'eval_batch_sise' in data. Did you mean eval_batch_size?"),
    ("images", "data.eval_batch_size=many", "data.eval_batch_size must be an integer, got 'many'"),
    ("images", "data.train_examples=9", "data.train_examples shapes training alone"),
    ("images", "data=image_folder", "data.root has no value"),
    ("images", "data=null", "data=null: the option is the name of a file in conf/data/"),
    ("images", "predict=", "predict= has no value: name a folder of images, an image file, or a text file"),
    ("images", "predict=x shift=noise", "predict= reads new files and does nothing else: leave out shift"),
    ("images", "data=mnist predict=x", "predict= reads new files and does nothing else: leave out data=mnist"),
    ("images", "predct=x", "unknown key 'predct': a run keeps its configuration. Did you mean predict?"),
    ("text", "predict=x sample=5", "sample= makes text or images and does nothing else: leave out predict"),
    ("images", "export=tflite", "export must be one of onnx, torch, got 'tflite'"),
    ("images", "export=torch severity=1", "export= writes the run's network and does nothing else: leave out severity"),
    ("text", "sample=0", "sample must be an integer >= 1, got 0"),
    ("text", "sample=many", "sample must be an integer >= 1, got 'many'"),
    ("text", "prompt=to", "prompt= is about samples: say how much to make, sample=500 characters of text or sample=64"),
    ("images", "shift=noise seed=1", "seed= is about samples: say how much to make, sample=500 characters of text"),
    ("text", "sample=5 prompt=", "prompt must be at least one character"),
    ("text", "sample=5 prompt=First Citizen:", 'a prompt with spaces needs quotes around it: "prompt=First Citizen:'),
    ("text", "sample=5 temperature=0", "temperature must be a number >= 1e-06, got 0"),
    ("text", "sample=5 top_k=0", "top_k must be an integer >= 1, got 0"),
    ("text", "sample=5 count=0", "count must be an integer >= 1, got 0"),
    ("text", "sample=5 seed=-1", "seed must be an integer >= 0, got -1"),
    ("vae", "sample=0", "sample must be an integer >= 1, got 0"),
    ("vae", "sample=-1", "sample must be an integer >= 1, got -1"),
    ("vae", "sample=abc", "sample must be an integer >= 1, got 'abc'"),
    ("vae", "sample=10001", "sample=10001 is too many images for one picture: take 10000 at most"),
    ("vae", "sample=5 prompt=to", "prompt= is about text, and this run makes images: leave it out"),
    ("vae", "sample=5 count=2", "count= is about text, and this run makes images: leave it out"),
    ("vae", "sample=5 top_k=2", "top_k= is about text, and this run makes images: leave it out"),
    ("vae", "sample=5 temperature=1e9", "temperature=1e+09 is more than latents can take: 100 at most"),
    ("vae", "sample=5 shift=noise", "sample= makes text or images and does nothing else: leave out shift"),
    ("text", "sample=5 data=mnist_5k", "sample= makes text or images and does nothing else: leave out data=mnist_5k"),
]


@pytest.mark.parametrize(("name", "words", "expected"), BAD, ids=[row[1] for row in BAD])
def test_bad_command(
    name: str,
    words: str,
    expected: str,
    finished: Callable[[str], Path],
    command: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Told before the part that needs torch is reached."""
    run = finished(name)
    before = state(run)
    monkeypatch.setitem(sys.modules, "src.evaluate.command", None)
    capfd.readouterr()
    assert command(run, *words.split(" ")) == 2
    said = capfd.readouterr()
    assert expected in said.err and len(said.err.strip().splitlines()) == 1, said.err
    assert said.out == ""
    assert state(run) == before


def test_usage(command: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert command("--help") == 0
    assert "python evaluate.py RUN_FOLDER" in capfd.readouterr().out
    assert command() == 2
    assert "which run?" in capfd.readouterr().err
    assert command("shift=noise", "runs/x") == 2
    assert "the first word names the run's folder" in capfd.readouterr().err
    assert command("nowhere") == 2
    assert "nowhere is no run's folder" in capfd.readouterr().err


def test_faults_are_told_without_torch(finished: Callable[[str], Path]) -> None:
    """In a process of its own: words, data and unfinished runs."""
    code = (
        "import sys, evaluate; from src.config.guard import guarded; sys.argv = ['evaluate.py', *sys.argv[1:]];"
        "print(guarded(evaluate.main), 'torch' in sys.modules)"
    )
    run = str(finished("images"))
    for words in ([run, "shft=noise"], [run, "data=mnits"], [str(ROOT / "conf")], [run, "sample=3"]):
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.strip() == "2 False", (words, done.stdout, done.stderr)
