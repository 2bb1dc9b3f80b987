"""Distillation from a run's folder: the teacher is rebuilt, checked, and left alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src.config.entry import resolve
from src.config.errors import UserError
from src.losses.distillation import KnowledgeDistillationLoss
from src.runs import build
from src.runs.rebuild import rebuild
from src.runs.teacher import fitted
from src.tasks.distillation import DistillationTask
from tests.commands import QUIET, composed, only_run, result_of, train

IMAGES = (*QUIET, "data=mnist_5k", "data.train_examples=300", "model.widths=[16]", "trainer.max_epochs=2")
TEXT = (
    *(*QUIET, "data=python_docs", "data.block_size=16", "data.batch_size=4", "model=gpt", "model.n_layer=1"),
    *("model.n_head=2", "model.n_embd=16", "trainer.max_steps=5", "trainer.limit_eval_batches=2", "samples.length=5"),
)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of finished runs."""
    found = {}
    for name, words in {
        "images": IMAGES,
        "hinge": (*IMAGES, "loss=hinge"),
        "text": TEXT,
        "tied": (*TEXT, "model.tied=true"),
        "bce": (*IMAGES, "loss=bce"),
    }.items():
        runs = tmp_path_factory.mktemp(name)
        assert train(*words, f"runs={runs}") == 0
        found[name] = only_run(runs)
    return found


@pytest.mark.parametrize("name", ["images", "text", "tied", "bce"])
def test_rebuilt_from_the_folder_alone(teachers: dict[str, Path], name: str, tmp_path: Path) -> None:
    for file in ("config.yaml", "weights.safetensors"):
        shutil.copy(teachers[name] / file, tmp_path / file)
    run = rebuild(tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    state = run.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in stored.items())
    assert not run.model.training
    assert not any(p.requires_grad for p in run.model.parameters())


@pytest.mark.parametrize("name", ["images", "bce"])
def test_teacher_says_what_its_own_test_said(teachers: dict[str, Path], name: str) -> None:
    """On the student's batches, standardised by other statistics, it gives the log-probabilities of predictions.npz."""
    run = rebuild(teachers[name])
    data = build.build_data(resolve(composed(*IMAGES, "data.train_examples=50").cfg))
    data.load()
    assert data.spec.mean != run.spec.mean
    teacher = fitted(run, data.spec, "teacher", "teacher")
    x, y = data.eval_batch("test", 0)
    with np.load(teachers[name] / "predictions.npz") as stored:
        np.testing.assert_array_equal(y.numpy(), stored["targets"])
        np.testing.assert_allclose(teacher(x).numpy(), stored["log_probs"], atol=2e-5)


@pytest.mark.parametrize("words", [IMAGES, TEXT], ids=["images", "text"])
def test_student_learns_and_leaves_its_teacher_alone(
    words: tuple[str, ...], teachers: dict[str, Path], tmp_path: Path
) -> None:
    teacher = teachers["images" if words is IMAGES else "text"]
    before = {path: path.read_bytes() for path in teacher.iterdir() if path.is_file()}
    assert (
        train(*words, "loss=distillation", f"teacher={teacher}", "trainer.log_every_n_steps=1", f"runs={tmp_path}") == 0
    )
    assert before == {path: path.read_bytes() for path in teacher.iterdir() if path.is_file()}
    student = only_run(tmp_path)
    checkpoint = torch.load(student / "checkpoints/last.ckpt", weights_only=True)
    own = {f"model.{name}" for name in load_file(student / "weights.safetensors")}
    assert own <= set(checkpoint["state_dict"])
    assert not any("teacher" in key for key in checkpoint["state_dict"])
    rows = (student / "metrics.csv").read_text().splitlines()
    values: dict[str, dict[str, float]] = {}
    for row in rows[1:]:
        step, _, _, tag, value = row.split(",")
        values.setdefault(step, {})[tag] = float(value)
    for at_step in values.values():
        for split in ("train", "val"):
            if f"{split}/loss" in at_step:
                total = at_step[f"{split}/hard"] + at_step[f"{split}/soft"]
                assert at_step[f"{split}/loss"] == pytest.approx(total, rel=1e-6)


def test_the_objective_is_the_losss_on_the_teachers_outputs(teachers: dict[str, Path], tmp_path: Path) -> None:
    """One recorded step, recomputed from the folder of a run of one step without dropout."""
    words = (*IMAGES, "model.dropout=0", "trainer.max_steps=1", "trainer.log_every_n_steps=1")
    assert train(*words, "loss=distillation", f"teacher={teachers['images']}", f"runs={tmp_path}") == 0
    cfg = resolve(composed(*words).cfg) | {"choices": {"model": "mlp", "data": "mnist_5k"}}
    data = build.build_data(cfg)
    spec = build.load(data)
    loss = KnowledgeDistillationLoss(alpha=0.9, temperature=4.0)
    student = build.build_model(cfg, spec, loss)
    x, y = data.train_batch(0, 0)
    teacher = fitted(rebuild(teachers["images"]), spec, "teacher", "teacher")
    expected = loss(student(x), teacher(x), y).mean().item()
    recorded = next(row for row in (only_run(tmp_path) / "metrics.csv").read_text().splitlines() if "train/loss" in row)
    assert float(recorded.split(",")[-1]) == pytest.approx(expected, rel=1e-6)


def test_another_teacher_is_another_run(teachers: dict[str, Path], tmp_path: Path) -> None:
    for teacher in (teachers["images"], teachers["bce"]):
        words = (*IMAGES, "trainer.max_epochs=1")
        assert train(*words, "loss=distillation", f"teacher={teacher}", f"runs={tmp_path}") == 0
    assert len(list(tmp_path.glob("**/seed0"))) == 2


def refused(message: str, *words: str) -> None:
    with pytest.raises(UserError, match=message):
        train(*words, "loss=distillation")


def test_no_teacher() -> None:
    refused("loss=distillation needs a teacher: teacher=RUN_FOLDER", *IMAGES)


def test_teacher_for_another_loss(teachers: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="is heard by loss=distillation alone, not by loss=ce"):
        train(*IMAGES, f"teacher={teachers['images']}")


def test_teacher_that_is_no_run(tmp_path: Path) -> None:
    refused("is no run's folder", *IMAGES, f"teacher={tmp_path}")


def test_teacher_of_another_kind(teachers: dict[str, Path]) -> None:
    refused("reads text, the data give image", *IMAGES, f"teacher={teachers['text']}")


def test_teacher_without_probabilities(teachers: dict[str, Path]) -> None:
    refused("scores are no probabilities", *IMAGES, f"teacher={teachers['hinge']}")


def test_teacher_of_another_alphabet(teachers: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("to be or not to be " * 99)
    words = [word for word in TEXT if not word.startswith("data=")]
    refused(
        "knows other characters",
        *words,
        "data=text_file",
        f"data.path={tmp_path / 'text'}",
        f"teacher={teachers['text']}",
    )


def test_teacher_of_shorter_blocks(teachers: dict[str, Path]) -> None:
    refused("take data.block_size=16", *TEXT, "data.block_size=17", f"teacher={teachers['text']}")


def copied(teacher: Path, to: Path) -> Path:
    """A copy that does not know its checksums."""
    copy = Path(shutil.copytree(teacher, to / "copy"))
    result = result_of(copy)
    del result["run"]["sha256"]
    (copy / "result.json").write_text(json.dumps(result))
    return copy


@pytest.mark.parametrize(("name", "place"), [("config.yaml", b"widths:"), ("weights.safetensors", b"}")])
def test_teacher_of_which_a_bit_was_flipped(name: str, place: bytes, teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(teachers["images"], tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    content[content.rindex(place) + 12] ^= 1
    (copy / name).write_bytes(content)
    refused(f"{name} is damaged: .* what the run wrote", *IMAGES, f"teacher={copy}")


def test_teacher_of_other_classes(teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = copied(teachers["images"], tmp_path)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("- '9'", "- nine"))
    refused("knows other classes: 10 there, 10 here .*'9', 'nine'", *IMAGES, f"teacher={copy}")


def test_teacher_without_weights(teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = copied(teachers["images"], tmp_path)
    (copy / "weights.safetensors").unlink()
    refused("has no weights.safetensors", *IMAGES, f"teacher={copy}")


def test_teacher_with_damaged_weights(teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = copied(teachers["images"], tmp_path)
    (copy / "weights.safetensors").write_bytes(b"damaged")
    refused("damaged or of another model", *IMAGES, f"teacher={copy}")


def test_teacher_with_weights_of_another_model(teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = copied(teachers["images"], tmp_path)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("- 16", "- 17"))
    refused("of another model", *IMAGES, f"teacher={copy}")


@pytest.mark.parametrize("target", ["os.system", "subprocess.Popen", "mlxtend.classifier.Adaline"])
def test_teacher_that_would_run_other_code(target: str, teachers: dict[str, Path], tmp_path: Path) -> None:
    copy = copied(teachers["images"], tmp_path)
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("src.models.mlp.MLP", target))
    refused("not loaded", *IMAGES, f"teacher={copy}")


def test_a_teacher_in_float64_keeps_its_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student in float64 hears what the teacher said, not that rounded to float32."""
    double = (*IMAGES, "trainer.precision=64-true")
    assert train(*double, f"runs={tmp_path / 'teacher'}") == 0
    teacher, heard = only_run(tmp_path / "teacher"), []
    objective = DistillationTask.objective

    def listen(task: DistillationTask, *all: torch.Tensor) -> dict[str, torch.Tensor]:
        heard.append({name: p.clone() for name, p in task.teacher.model.named_parameters()})
        return objective(task, *all)

    monkeypatch.setattr(DistillationTask, "objective", listen)
    words = ("loss=distillation", f"teacher={teacher}", "trainer.max_steps=2", "compile=auto")
    assert train(*double, *words, f"runs={tmp_path / 'student'}") == 0
    stored = load_file(teacher / "weights.safetensors")
    assert all(torch.equal(weights[name], stored[name]) for weights in heard for name in weights)
    assert all(weight.dtype == torch.float64 for weight in heard[0].values())
