"""speed=fast: what it chooses, and that such a run is as exact as any other."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from src.config.entry import resolve
from src.config.errors import UserError
from src.config.evaluation import read
from src.evaluate import command
from src.folder.folder import RunFolder
from src.models.transformer import attend
from src.runs import build, machine, speed, trial
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, composed, laid_over, only_run, result_of, train
from tests.conftest import ROOT
from tests.runs.test_exactness import CASES, assert_same_run, resume_from_every_checkpoint, snapshots_in, two_or_all

HALF = "trainer.precision=bf16-mixed"  # what speed=fast chooses where it gains; compilation is in the slow tests
SHORT = (*QUIET, "data.train_examples=100", "model.widths=[8]", "trainer.max_steps=7")
LONG = (*QUIET, "data.train_examples=400", "data.batch_size=10", "model.widths=[8]", "trainer.max_epochs=6")  # 240
EMULATED = {"32-true": 1.0, "bf16-mixed": 19.0}
FASTER, SLOWER = ({"32-true": 0.002, "bf16-mixed": half} for half in (0.001, 0.0019))


def without_bfloat16() -> dict[str, bool]:
    """What torch says of a processor with AVX2 alone."""
    return {"avx2": True, "avx512_bf16": False, "amx_bf16": False}


def with_bfloat16() -> dict[str, bool]:
    return {"avx512_bf16": True}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bfloat16, whichever this is."""
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: True)


def says(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], kind: str = "other") -> list[Any]:
    """Have trials say this; the precisions that each was asked for."""
    asked: list[Any] = []

    def tried(cfg: Any, data: Any, teacher: Any, device: str, precisions: list[str]) -> trial.Trial:
        asked.append(precisions)
        return trial.Trial({name: seconds[name] for name in precisions}, kind)

    monkeypatch.setattr(trial, "tried", tried)
    return asked


def test_what_the_presets_choose() -> None:
    choices = {name: composed(f"speed={name}", "trainer=cpu").cfg for name in ("fast", "plain")}
    assert (choices["fast"].trainer.precision, choices["fast"].compile) == ("auto", "auto")
    assert (choices["plain"].trainer.precision, choices["plain"].compile) == ("32-true", False)
    assert composed("speed=fast", "trainer.precision=32-true").cfg.trainer.precision == "32-true"


@pytest.mark.parametrize(
    ("can", "native"),
    [
        (with_bfloat16(), True),
        ({"amx_bf16": True}, True),
        ({"bf16": True, "neon": True}, True),  # ARM
        ({"bf16": False, "neon": True}, False),
        (without_bfloat16(), False),
        ({"avx512_f": True, "avx512_bf16": False}, False),  # there torch's own test says yes
    ],
)
@pytest.mark.parametrize("computes", [True, False])
def test_bfloat16_is_native(
    can: dict[str, bool], native: bool, computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: computes)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert machine.has_bfloat16("cpu") == (native and computes)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not machine.has_bfloat16("cpu")


@pytest.mark.skipif(not machine.has_bfloat16("cpu"), reason="needs a processor with bfloat16")
def test_bfloat16_is_emulated_where_onednn_is_kept_from_it() -> None:
    code = "from src.runs.machine import has_bfloat16; print(has_bfloat16('cpu'))"
    env = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("major", "native"), [(7, False), (8, True), (9, True)])
def test_a_gpu_has_bfloat16_from_compute_capability_8_on(
    major: int, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
    assert machine.has_bfloat16("gpu") == native


@pytest.mark.parametrize(
    ("seconds", "precision"),
    [(FASTER, "bf16-mixed"), (SLOWER, "32-true"), (EMULATED, "32-true")],
)
def test_bfloat16_is_taken_where_it_gains(
    seconds: dict[str, float], precision: str, native: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, seconds)
    assert train(*LONG, "trainer.precision=auto", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert asked == [["32-true", "bf16-mixed"]]
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["precision"] == precision
    result = result_of(run)["run"]
    assert result["precision"] == precision
    assert "times as fast as float32" in result["why"]["trainer.precision"]
    assert f"trainer.precision=auto is {precision}: bfloat16 is" in (run / "train.log").read_text()


def test_the_same_command_chooses_the_same_again(
    native: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a second trial would say; and so does another loss. A damaged file is measured anew."""
    says(monkeypatch, FASTER)
    assert train(*LONG, "speed=fast", f"runs={tmp_path}") == 0
    asked = says(monkeypatch, SLOWER)
    assert train(*LONG, "speed=fast", f"runs={tmp_path}") == 0
    assert "this run is finished" in capsys.readouterr().out
    assert train(*LONG, "speed=fast", "loss=brier", f"runs={tmp_path / 'other'}") == 0
    assert result_of(only_run(tmp_path / "other"))["run"]["precision"] == "bf16-mixed"
    assert asked == []
    (file,) = (tmp_path / "cache/xent/speed").iterdir()
    other_kind = file.read_text().replace('"other"', '"odd"')
    for damage in ("{", other_kind, '{"kind": "other", "seconds": {"32-true": -1, "bf16-mixed": 1}}'):
        file.write_text(damage)
        assert train(*LONG, "speed=fast", "loss=focal", f"runs={tmp_path / 'other'}", "overwrite=true") == 0
    assert len(asked) == 3


def test_without_the_instructions_it_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every bit, and under the same name; nothing is tried."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", without_bfloat16)
    monkeypatch.setattr(trial, "tried", lambda *_: pytest.fail("it was tried"))
    runs = []
    for preset in ("plain", "fast"):
        home = tmp_path / preset
        assert train(*LONG, *laid_over([f"speed={preset}", "compile=false"]), f"runs={home}") == 0
        runs.append(only_run(home))
    plain, fast = runs
    assert_same_run(plain, fast)
    assert (plain / "weights.safetensors").read_bytes() == (fast / "weights.safetensors").read_bytes()
    names = [yaml.safe_load((run / "config.yaml").read_text())["identity"] for run in runs]
    assert names[0] == names[1]
    result = result_of(fast)["run"]
    assert result["precision"] == "32-true"
    assert result["why"] == {"trainer.precision": "no bfloat16 instructions here"}


def test_a_trial_leaves_no_trace_in_the_run(native: None, tmp_path: Path) -> None:
    """A real one: the weights are those of a command that names what it chose."""
    words = (*LONG, "model.dropout=0.2")
    assert train(*words, "trainer.precision=auto", f"runs={tmp_path / 'auto'}") == 0
    tried = only_run(tmp_path / "auto")
    precision = result_of(tried)["run"]["precision"]
    assert train(*words, f"trainer.precision={precision}", f"runs={tmp_path / 'named'}") == 0
    named = only_run(tmp_path / "named")
    assert_same_run(tried, named)
    assert (tried / "weights.safetensors").read_bytes() == (named / "weights.safetensors").read_bytes()


def test_a_run_that_goes_on_keeps_its_precision(
    native: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where bfloat16 is emulated, too: other numbers would be another run's."""
    says(monkeypatch, FASTER)
    with snapshots_in(tmp_path, monkeypatch) as snapshots:
        assert train(*LONG, "trainer.precision=auto", f"runs={tmp_path / 'whole'}") == 0
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: False)
    caplog.set_level("WARNING", "xent")
    assert train(f"resume={snapshots[1]}") == 0
    assert_same_run(only_run(tmp_path / "whole"), snapshots[1])
    result = result_of(snapshots[1])["run"]
    assert result["precision"] == "bf16-mixed" and "2.00 times as fast" in result["why"]["trainer.precision"]
    assert "bfloat16 is emulated here" in caplog.text
    folder = RunFolder(snapshots[1])
    assert command.execute(read([str(folder.path)]), folder, *folder.read_finished()) == 0
    report = json.loads((snapshots[1] / "evaluations/test.json").read_text())
    assert report["same_as_result"] and machine.EMULATED in report["notes"]


@two_or_all
@pytest.mark.parametrize("case", ["mlp-extras", "resnet", "gpt"])
def test_resume_from_checkpoints(case: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resume_from_every_checkpoint((*QUIET, *CASES[case], HALF), tmp_path, monkeypatch, every)


@pytest.mark.parametrize(
    ("asked", "kind", "earned", "compiled"),
    [
        ("auto", "attention", 0.47, True),  # 240 batches of 0.002 s are 0.48 s
        ("auto", "attention", 0.49, False),
        ("auto", "convolution", 0.47, False),
        ("true", "attention", 99, True),
    ],
)
def test_a_run_that_is_long_enough_is_compiled(
    asked: str, kind: str, earned: float, compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, FASTER, kind)
    monkeypatch.setattr(speed, "EARNED", {"attention": earned, "convolution": 1})
    monkeypatch.setattr(SupervisedTask, "compile", lambda self, how: calls.append(how))
    monkeypatch.setattr(machine.shutil, "which", lambda name: "compiler")
    calls: list[Any] = []
    assert train(*LONG, f"compile={asked}", f"runs={tmp_path}") == 0
    assert calls == [compiled]
    run = only_run(tmp_path)
    assert yaml.safe_load((run / "config.yaml").read_text())["compile"] == compiled
    result = result_of(run)["run"]
    assert result["compiled"] == compiled
    assert result["why"].get("compile", "").startswith("its batches take 0 s uncompiled" if asked == "auto" else "")


@pytest.mark.parametrize(
    ("words", "compiler", "why"),
    [(SHORT, "c++", "7 batches are too few to find out"), (LONG, None, "no C++ compiler here")],
)
def test_auto_is_plain_where_nothing_can_be_gained(
    words: tuple[str, ...], compiler: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "tried", lambda *_: pytest.fail("it was tried"))
    monkeypatch.setattr(machine.shutil, "which", lambda name: compiler)
    monkeypatch.delenv("CXX", raising=False)
    assert train(*words, "compile=auto", f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))["run"]
    assert (result["precision"], result["compiled"], result["why"]) == ("32-true", False, {"compile": why})


def test_a_network_that_cannot_be_tried_is_plain(native: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(trial, "fastest", broken)
    assert train(*LONG, "speed=fast", f"runs={tmp_path}") == 0
    result = result_of(only_run(tmp_path))["run"]
    assert (result["precision"], result["compiled"]) == ("32-true", False)
    assert set(result["why"].values()) == {"the trial failed"}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("model=mlp",), "other"),
        (("model=resnet", "model.depth=8"), "convolution"),
        (("model=vit", "data.mixup=cutmix"), "attention"),
        (("data=python_docs", "data.block_size=16", "model=gpt", "model.n_layer=1"), "attention"),
    ],
)
def test_a_trial_of_each_kind(words: tuple[str, ...], kind: str) -> None:
    cfg = resolve(composed(*QUIET, "data.batch_size=8", *words).cfg) | {"choices": {"loss": "ce"}}
    data = build.build_data(cfg)
    build.load(data)
    before = torch.get_rng_state()
    found = trial.tried(cfg, data, None, "cpu", ["32-true", "bf16-mixed"])
    assert torch.equal(torch.get_rng_state(), before)
    assert found is not None and found.kind == kind
    assert all(0 < seconds < 60 for seconds in found.seconds.values())


def test_compile_is_one_of_four(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compile must be true or false or one of auto, reduce-overhead, got 'always'"):
        train("compile=always", f"runs={tmp_path}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", ["mlp", "gpt", "accumulated"])
def test_a_compiled_run_is_exact(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its last checkpoint a run only tests: its first batch is not a training batch."""
    accumulated = (*CASES["mlp"], "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5")
    words = (*(accumulated if case == "accumulated" else CASES[case]), HALF, "compile=true")
    words = (*QUIET, *words, "checkpoint.every_n_steps=5")
    resume_from_every_checkpoint(tuple(laid_over(words)), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_reduce_overhead_is_the_same_on_a_cpu(tmp_path: Path) -> None:
    """Where there are no CUDA graphs the mode changes nothing."""
    for how in ("true", "reduce-overhead"):
        assert train(*QUIET, *CASES["mlp"], f"compile={how}", f"runs={tmp_path / how}") == 0
    one, other = (only_run(tmp_path / how) for how in ("true", "reduce-overhead"))
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("causal", [True, False])
def test_attention_under_bfloat16_is_that_of_float32(causal: bool) -> None:
    """Inputs and gradients rounded to bfloat16, all between in float32; float32 itself is torch's own."""
    g = torch.Generator().manual_seed(0)
    half = [torch.randn(2, 3, 8, 4, generator=g).bfloat16().requires_grad_() for _ in range(3)]
    full = [value.detach().float().requires_grad_() for value in half]
    expected = torch.nn.functional.scaled_dot_product_attention(*full, is_causal=causal)
    with torch.autocast("cpu", torch.bfloat16):
        given = attend(*half, 0.0, causal)
    assert given.dtype == torch.bfloat16
    torch.testing.assert_close(given, expected.bfloat16(), rtol=0, atol=0)
    given.backward(torch.ones_like(given))  # type: ignore[no-untyped-call]
    expected.backward(torch.ones_like(expected))  # type: ignore[no-untyped-call]
    for mine, theirs in zip(half, full, strict=True):
        assert mine.grad is not None and theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad.bfloat16(), rtol=0, atol=0)
    assert torch.equal(attend(*full, 0.0, causal), expected)


def test_a_loss_scaler_takes_no_fused_optimizer(caplog: pytest.LogCaptureFixture) -> None:
    plain = resolve(composed("model.widths=[8]", "trainer.precision=16-mixed").cfg)
    model = build.construct(plain, "model", input_shape=(1, 4, 4), outputs=3)
    caplog.set_level("WARNING", "xent")
    assert not build.build_optimizer(plain, model, model).defaults["fused"]
    assert "optimizer.fused is ignored" in caplog.text
    plain["trainer"]["precision"] = "bf16-mixed"
    assert build.build_optimizer(plain, model, model).defaults["fused"]
