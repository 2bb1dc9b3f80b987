"""A run from its command to its folder, and the one rule: a command finishes the run that it names."""

import csv
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, load_model

from src.data.base import Data, Spec
from src.folder.folder import RunFolder
from src.losses.base import ClassificationLoss
from src.metrics.columns import family_of
from src.metrics.families import CLASSIFICATION
from src.models.base import Network
from src.runs import build, testing
from src.runs.fit import Fit
from src.tasks.supervised import SupervisedTask
from tests.commands import CLASSIFYING, QUIET, only_run, result_of, train
from tests.data.batches import pairs

MLP = (
    *QUIET,
    *("data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=300", "model.widths=[8]"),
    *("trainer.max_steps=6", "trainer.val_every_n_steps=2", "trainer.log_every_n_steps=2"),
)
RESNET = (
    *QUIET,
    *("data.train_examples=100", "data.batch_size=20", "data.eval_batch_size=100", "model=resnet", "model.depth=8"),
    *("loss=bce", "trainer.max_steps=2", "trainer.limit_eval_batches=1"),
)
GPT = (
    *QUIET,
    *("data=python_docs", "data.block_size=8", "model=gpt", "model.n_layer=1", "model.n_head=2", "model.n_embd=8"),
    *("trainer.max_steps=2", "trainer.limit_eval_batches=2", "samples.length=5"),
)


def times(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def values(run: Path, tag: str) -> dict[int, float]:
    with (run / "metrics.csv").open() as file:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(file) if row["tag"] == tag}


def rebuilt(run: Path) -> tuple[Data, ClassificationLoss, Network]:
    """Data, loss and trained network from the files of a run's folder alone."""
    cfg = yaml.safe_load((run / "config.yaml").read_text())
    facts = {key: tuple(v) if isinstance(v, list) else v for key, v in cfg["facts"].items()}
    data = build.build_data(cfg)
    data.load()
    assert data.spec == Spec(**facts)
    loss = build.build_loss(cfg, data.spec)
    model = build.build_model(cfg | {"seed": 99}, data.spec, loss)  # other initial weights: all must be replaced
    assert load_model(model, run / "weights.safetensors") == (set(), [])
    assert len(load_file(run / "weights.safetensors")) == len([*model.parameters(), *model.buffers()]), "tied ones once"
    return data, loss, model.eval()


def test_one_rule(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = (*MLP, f"runs={tmp_path}")
    assert train(*words) == 0
    run = only_run(tmp_path)
    first, before = result_of(run), times(run)
    weights = (run / "weights.safetensors").read_bytes()
    capfd.readouterr()

    assert train(*words) == 0
    said = capfd.readouterr().out
    assert times(run) == before, "a finished run is shown, not touched"
    assert "overwrite=true" in said and f"{first['metrics']['test']['nll']:.4f}" in said and str(run) in said
    assert train(f"resume={run}") == 0
    assert times(run) == before

    assert train(*words, "overwrite=true") == 0
    assert set(times(run)) == set(before) and (run / "metrics.csv").stat().st_mtime_ns > before[run / "metrics.csv"]
    assert (run / "weights.safetensors").read_bytes() == weights, "anew, and the same bits"

    assert train(*words, "seed=1") == 0
    assert {path.name for path in run.parent.iterdir()} == {"seed0", "seed1"}
    assert (run.parent / "seed1/weights.safetensors").read_bytes() != weights
    assert train(*words, "model.widths=[9]") == 0
    assert len(list(run.parent.parent.iterdir())) == 2


def test_resume_takes_keys_that_the_folder_lacks_from_the_defaults(tmp_path: Path) -> None:
    assert train(*MLP, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    weights = (run / "weights.safetensors").read_bytes()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config.pop("profiler") is False
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "result.json").unlink()
    (run / "weights.safetensors").unlink()
    assert train(f"resume={run}") == 0
    assert (run / "weights.safetensors").read_bytes() == weights


def test_threads_as_resolved_name_the_run(tmp_path: Path) -> None:
    """One core is all there is, so that naming it changes nothing."""
    words = ("trainer=cpu", "logger=csv", "debug=fast", "data.train_examples=100", "model.widths=[8]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda pid: {0})
        assert train(*words, f"runs={tmp_path}") == 0
        before = times(only_run(tmp_path))
        assert train(*words, "trainer.threads=1", f"runs={tmp_path}") == 0
    assert times(only_run(tmp_path)) == before


def test_place_of_a_run(tmp_path: Path) -> None:
    assert train(*MLP, "loss=focal", "loss.gamma=3", "seed=7", f"runs={tmp_path}") == 0
    family, name, seed = only_run(tmp_path).relative_to(tmp_path).parts
    assert (family, seed) == ("mnist_5k-mlp", "seed7")
    assert name.startswith("focal-")


def test_result_and_configuration_are_complete(tmp_path: Path) -> None:
    assert train(*MLP, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    result = result_of(run)
    assert set(result) == {
        *(
            "status",
            "family",
            "metrics",
            "intervals",
            "bins",
            "adjusted",
            "class_accuracy",
            "floors",
            "steps",
            "epochs",
            "tested_at_step",
            "parameters",
            "notes",
            "run",
        ),
    }
    assert (result["status"], result["steps"], result["epochs"], result["tested_at_step"]) == ("finished", 6, 1, 6)
    assert result["parameters"] == 784 * 8 + 8 + 8 * 10 + 10
    assert family_of(result["family"]) == CLASSIFICATION
    assert result["run"]["seconds"] > 0 and result["run"]["threads"] == 1
    assert result["run"]["device"].startswith("cpu") and result["run"]["versions"]["torch"] == torch.__version__
    cfg = yaml.safe_load((run / "config.yaml").read_text())
    assert cfg["data"]["train_examples"] == 200 and cfg["choices"]["loss"] == "ce"
    assert cfg["identity"] == run.parent.name[-8:]
    assert cfg["facts"]["kind"] == "image" and cfg["facts"]["input_shape"] == [1, 28, 28]
    assert sum(cfg["facts"]["class_counts"]) == 200 and len(cfg["facts"]["class_names"]) == 10
    assert not list(run.glob("events*")), "logger=csv draws nothing"
    assert {path.name for path in run.iterdir()} == {
        *(".lock", "checkpoints", "config.yaml", "metrics.csv", "predictions.npz", "result.json", "timing.csv"),
        *("train.log", "weights.safetensors"),
    }


@pytest.mark.parametrize("words", [MLP, RESNET, (*MLP, "ema.decay=0.9"), (*MLP, "checkpoint.best=true")])
def test_folder_is_enough_to_predict_the_same_bits(words: tuple[str, ...], tmp_path: Path) -> None:
    assert train(*words, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    data, loss, model = rebuilt(run)
    with np.load(run / "predictions.npz") as stored, torch.no_grad():
        log_probs, targets = torch.from_numpy(stored["log_probs"]), torch.from_numpy(stored["targets"])
    count = -(-len(targets) // data.eval_batch("test", 0)[1].numel())
    batches = pairs(data.eval_loader("test", count))
    with torch.no_grad():
        own = torch.cat([loss.log_probs(model(x)) for x, _ in batches])
    assert torch.equal(own, log_probs)
    assert torch.equal(torch.cat([y for _, y in batches]), targets)
    nll = -log_probs.double().gather(1, targets[:, None]).mean()
    assert result_of(run)["metrics"]["test"]["nll"] == pytest.approx(float(nll), rel=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_folder_is_enough_to_predict_text(tied: bool, tmp_path: Path) -> None:
    assert train(*GPT, f"model.tied={tied}", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    data, loss, model = rebuilt(run)
    batches = pairs(data.eval_loader("test", 2))
    with torch.no_grad():
        log_probs = torch.cat([loss.log_probs(model(x).flatten(0, 1)) for x, _ in batches])
    targets = torch.cat([y.flatten() for _, y in batches])
    with np.load(run / "predictions.npz") as stored:
        scaled = {"nll_ts", "confidence_ts", "brier_ts"}
        judged = {"accuracy", "nll", "brier", "confidence", "overconfidence"}
        assert set(stored) - scaled == {"targets", "guess", *judged}
        np.testing.assert_array_equal(stored["targets"], targets.numpy())
        np.testing.assert_array_equal(stored["guess"], log_probs.argmax(1).numpy())
        np.testing.assert_array_equal(stored["nll"], -log_probs.gather(1, targets[:, None])[:, 0].numpy())
        np.testing.assert_array_equal(stored["confidence"], log_probs.double().max(1).values.exp().float().numpy())
        np.testing.assert_array_equal(stored["accuracy"], (log_probs.argmax(1) == targets).numpy())


def test_best_checkpoint_is_that_of_the_highest_validation_accuracy(tmp_path: Path) -> None:
    """On so few examples that the highest is reached more than once: the first of equals counts."""
    words = (*MLP, "data.val_fraction=0.005", "optimizer=sgd", "optimizer.lr=0.5", "trainer.max_steps=40")
    assert train(*words, "checkpoint.best=true", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    accuracy = values(run, "val/accuracy")
    best, *others = [step for step, value in accuracy.items() if value == max(accuracy.values())]
    assert others and best != 40, "the highest is reached once, or last: the test shows nothing"
    result = result_of(run)
    assert (result["steps"], result["tested_at_step"]) == (40, best)
    nll = values(run, "val/nll")
    assert result["metrics"]["val"]["accuracy"] == accuracy[best]
    assert result["metrics"]["val"]["nll"] == nll[best] != nll[40]
    stored = load_file(run / "weights.safetensors")
    kept, last = (torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (kept["global_step"], last["global_step"]) == (best, 40)
    assert all(torch.equal(value, kept["state_dict"][f"model.{name}"]) for name, value in stored.items())
    assert not torch.equal(stored["layers.1.weight"], last["state_dict"]["model.layers.1.weight"])


def test_debug_fast(tmp_path: Path) -> None:
    """One training step, one batch of validation and of test."""
    batches = {"train": 0, "val": 0, "test": 0}
    with pytest.MonkeyPatch.context() as patch:
        for split, step in (("train", "training_step"), ("val", "validation_step"), ("test", "test_step")):
            patch.setattr(SupervisedTask, step, counted(getattr(SupervisedTask, step), batches, split))
        words = ("debug=fast", "data.eval_batch_size=50", "data.train_examples=200", "model.widths=[8]")
        assert train(*QUIET, *words, f"runs={tmp_path}") == 0
    assert batches == {"train": 1, "val": 1, "test": 1}
    assert values(only_run(tmp_path), "train/loss").keys() == {1}


def test_debug_limit(tmp_path: Path) -> None:
    """Epochs of 10 batches of training, 2 of validation, and 2 of test."""
    batches = {"train": 0, "val": 0, "test": 0}
    with pytest.MonkeyPatch.context() as patch:
        for split, step in (("train", "training_step"), ("val", "validation_step"), ("test", "test_step")):
            patch.setattr(SupervisedTask, step, counted(getattr(SupervisedTask, step), batches, split))
        words = ("debug=limit", "trainer.max_epochs=3", "data.eval_batch_size=50", "model.widths=[8]")
        assert train(*QUIET, *words, f"runs={tmp_path}") == 0
    assert batches == {"train": 30, "val": 6, "test": 2}
    run = only_run(tmp_path)
    assert values(run, "val/nll").keys() == {10, 20, 30}
    assert values(run, "train/loss").keys() == set(range(1, 31))


def counted(step: Callable[..., Any], counts: dict[str, int], name: str) -> Callable[..., Any]:
    def wrapped(self: SupervisedTask, *args: Any) -> Any:
        counts[name] += 1
        return step(self, *args)

    return wrapped


def test_debug_overfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch over and over, in training and in validation; its loss goes to 0."""
    seen = set()
    prepare = SupervisedTask.prepare

    def look(self: SupervisedTask, batch: Any) -> Any:
        seen.add((batch.inputs.double().sum().item(), *batch.targets.tolist()))
        return prepare(self, batch)

    monkeypatch.setattr(SupervisedTask, "prepare", look)
    assert train(*QUIET, "debug=overfit", f"runs={tmp_path}") == 0
    assert len(seen) == 1
    run = only_run(tmp_path)
    assert values(run, "train/loss")[200] < 0.02
    assert values(run, "val/nll").keys() == {50, 100, 150, 200}
    assert values(run, "val/nll")[200] < 0.02
    assert values(run, "val/accuracy")[200] == 1


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the checkpoint of step 4: the run fails and says why, and that of step 2 stays."""
    words = (*MLP, f"runs={tmp_path}")
    save, calls = torch.save, []

    def full(checkpoint: Any, file: Any) -> None:
        calls.append(checkpoint["global_step"])
        if len(calls) == 2:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        assert train(*words) == 1
    assert calls == [2, 4]
    run = only_run(tmp_path)
    result = result_of(run)
    assert result["status"] == "failed" and "No space left on device" in result["error"]
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    assert train(*words, "retry_failed=true") == 0
    assert result_of(run)["status"] == "finished"


def first_seen(words: tuple[str, ...], patch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """The weights and the batches with which a command trains."""
    weights: dict[str, Any] = {}
    batches: list[torch.Tensor] = []
    step = SupervisedTask.batch_loss

    def batch_loss(self: SupervisedTask, *given: Any) -> Any:
        if not batches:
            weights.update({name: value.clone() for name, value in self.model.state_dict().items()})
        batches.extend(given[0].values())
        return step(self, *given)

    with patch.context() as inner:
        inner.setattr(SupervisedTask, "batch_loss", batch_loss)
        assert train(*words) == 0
    return weights, batches


@pytest.mark.parametrize("family", ["image", "text", pytest.param("every image", marks=pytest.mark.slow)])
def test_all_losses_of_a_seed_share_initial_weights_and_batches(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {
        "image": ("data.train_examples=100", "data.pad=1", "data.flip=true", "model.widths=[8]"),
        "text": (*GPT, "data.batch_size=2", "samples.count=0", "trainer.limit_eval_batches=1"),
    }[family.removeprefix("every ")]
    common = (*QUIET, "debug=fast", *words, "trainer.max_steps=2")
    losses = [loss for loss in CLASSIFYING if not loss.startswith("distillation")]  # they need a teacher
    few = ["ce", "bce", "hinge", "mmce"]
    shown = {"image": few, "every image": losses, "text": ["ce", "focal", "bce", "confidence_penalty"]}[family]
    weights, batches = first_seen((*common, f"runs={tmp_path}"), monkeypatch)
    assert len(batches) == 4
    for loss in shown:
        own = first_seen((*common, f"loss={loss}", f"runs={tmp_path / 'all'}"), monkeypatch)
        assert own[0].keys() == weights.keys() and all(torch.equal(own[0][name], weights[name]) for name in weights)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(own[1], batches, strict=True)), loss
    other = first_seen((*common, "seed=1", f"runs={tmp_path}"), monkeypatch)
    assert not torch.equal(other[1][0], batches[0])
    assert any(not torch.equal(other[0][name], weights[name]) for name in weights)


def test_global_random_state_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        assert train(*MLP, f"runs={tmp_path / str(state)}") == 0
        seen.append((only_run(tmp_path / str(state)) / "weights.safetensors").read_bytes())
    assert seen[0] == seen[1]


def test_checks_come_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on disk until everything is built."""
    there: list[bool] = []
    build_all = Fit.__init__

    def init(self: Fit, *args: Any) -> None:
        build_all(self, *args)
        there.append(any(tmp_path.iterdir()))

    monkeypatch.setattr(Fit, "__init__", init)
    assert train(*MLP, f"runs={tmp_path}") == 0
    assert there == [False]


@pytest.mark.slow
@pytest.mark.parametrize("words", [(*MLP, "model.dropout=0"), (*MLP, "model.dropout=0", "ema.decay=0.9"), RESNET, GPT])
def test_compiled_model_gives_the_same_numbers(words: tuple[str, ...], tmp_path: Path) -> None:
    """Without dropout, whose masks the compiler draws in another way."""
    runs = {}
    for compiled in ("false", "true"):
        assert train(*words, f"compile={compiled}", f"runs={tmp_path / compiled}") == 0
        runs[compiled] = only_run(tmp_path / compiled)
    eager, own = (result_of(runs[name])["metrics"]["val"] for name in ("false", "true"))
    assert own == pytest.approx(eager, rel=1e-3, abs=1e-4)
    data, loss, model = rebuilt(runs["true"])
    loader = testing.eval_loader(RunFolder(runs["true"]).read_config(), data, "test")
    x, y = loader.take(0)
    with np.load(runs["true"] / "predictions.npz") as stored, torch.no_grad():
        guess = loss.log_probs(model(x).flatten(0, -2)).argmax(1)
        told = stored["accuracy"]
        assert (told[: y.numel()] == (guess == y.flatten()).numpy()).mean() > 0.99
