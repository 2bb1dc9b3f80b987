"""speed=fast: what it chooses, and that such a run is as exact as any other."""

from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.entry import resolve
from src.config.errors import UserError
from src.models.transformer import attend
from src.runs import build, fit, machine
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, composed, laid_over, only_run, result_of, train
from tests.runs.test_exactness import CASES, resume_from_every_checkpoint

FAST = ("speed=fast", "compile=false")  # compilation takes a minute: it is in the slow tests


def test_what_the_presets_choose() -> None:
    choices = {name: composed(f"speed={name}", "trainer=cpu").cfg for name in ("fast", "plain")}
    assert (choices["fast"].trainer.precision, choices["fast"].compile) == ("bf16-mixed", "auto")
    assert (choices["plain"].trainer.precision, choices["plain"].compile) == ("32-true", False)
    assert composed("speed=fast", "trainer.precision=32-true").cfg.trainer.precision == "32-true"


@pytest.mark.parametrize("case", ["mlp-extras", "resnet", "gpt"])
def test_resume_from_every_checkpoint(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resume_from_every_checkpoint((*QUIET, *CASES[case], *FAST), tmp_path, monkeypatch)


@pytest.mark.parametrize(("asked", "steps", "compiled"), [("auto", 8, False), ("auto", 7, True), ("true", 99, True)])
def test_a_run_that_is_long_enough_is_compiled(
    asked: str, steps: int, compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven steps; ``steps`` are said to earn the time back."""
    monkeypatch.setattr(fit, "EARNED", steps)
    monkeypatch.setattr(SupervisedTask, "compile", lambda self, how: calls.append(how))
    monkeypatch.setattr(machine.shutil, "which", lambda name: "compiler")
    calls: list[Any] = []
    words = (*QUIET, "data.train_examples=100", "model.widths=[8]", "trainer.max_steps=7")
    assert train(*words, f"compile={asked}", f"runs={tmp_path}") == 0
    assert calls == [compiled]
    assert result_of(only_run(tmp_path))["run"]["compiled"] == compiled


def test_compile_is_one_of_four(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compile must be true, false, auto or reduce-overhead, got 'always'"):
        train("compile=always", f"runs={tmp_path}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", ["mlp", "gpt", "accumulated"])
def test_a_compiled_run_is_exact(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its last checkpoint a run only tests: its first batch is not a training batch."""
    accumulated = (*CASES["mlp"], "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5")
    words = (*(accumulated if case == "accumulated" else CASES[case]), "speed=fast", "compile=true")
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
    assert not build.build_optimizer(plain, model).defaults["fused"]
    assert "optimizer.fused is ignored" in caplog.text
    plain["trainer"]["precision"] = "bf16-mixed"
    assert build.build_optimizer(plain, model).defaults["fused"]
