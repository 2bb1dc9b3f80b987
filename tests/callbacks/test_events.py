"""What a run writes for TensorBoard, read from its event files."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata

from src.callbacks.events import SETTINGS, EventFiles, cells, curves, of_test, settings, ticked
from src.config.entry import resolve
from src.config.errors import UserError
from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION, LANGUAGE
from tests.callbacks.test_recorder import events, fail_at, next_second, scalars
from tests.commands import composed, only_run, train

RUN = (
    *("trainer=cpu", "trainer.threads=1", "data.train_examples=200", "data.batch_size=20", "model.widths=[8]"),
    *("trainer.max_steps=10", "trainer.accumulate_grad_batches=2"),
    *("trainer.log_every_n_steps=3", "trainer.val_every_n_steps=4"),
)
TEXT = (
    *("trainer=cpu", "trainer.threads=1", "data=python_docs", "data.block_size=8", "model=gpt", "model.n_layer=1"),
    *("model.n_head=1", "model.n_embd=8", "trainer.max_steps=4", "trainer.limit_eval_batches=1", "samples.length=5"),
)


def written(folder: Path) -> list[tuple[str, int, bytes]]:
    """(tag, step, plugin content) of every value in the event files of one folder, also of what a viewer hides."""
    return [
        (value.tag, event.step, value.metadata.plugin_data.content)
        for path in sorted(folder.glob("events.out.tfevents.*"))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]


def steps_and_examples(run: Path) -> dict[int, int]:
    with (run / "metrics.csv").open() as file:
        return {int(line["step"]): int(line["samples_seen"]) for line in csv.DictReader(file)}


@pytest.mark.parametrize("words", [RUN, (*RUN, "loss=hinge"), TEXT], ids=["ce", "hinge", "text"])
def test_a_run_is_one_row_of_the_table(words: tuple[str, ...], tmp_path: Path) -> None:
    assert train(*words, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert train(*words, f"runs={tmp_path}") == 0, "a finished run is only shown"
    values = written(run)
    count = Counter(tag for tag, _, _ in values)
    content = {tag: content for tag, _, content in values if tag.startswith("_hparams_")}
    assert {tag: count[tag] for tag in content} == {
        metadata.EXPERIMENT_TAG: 1,
        metadata.SESSION_START_INFO_TAG: 1,
        metadata.SESSION_END_INFO_TAG: 1,
    }
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    family = LANGUAGE if words is TEXT else CLASSIFICATION
    names = [f"test/{column.name}" for column in family.columns]
    assert [info.name for info in experiment.hparam_infos] == [*SETTINGS, *names]
    assert [info.name for info in experiment.hparam_infos if info.differs] == [
        *("loss", "lr", "test/accuracy", "test/nll", "test/ece")
    ]
    pinned = ["val/nll", "val/bits_per_char", "val/perplexity", "val/ece"]
    if words is not TEXT:
        pinned = ["val/nll", "val/accuracy", "val/ece", "val/brier"]
    assert [info.name.tag for info in experiment.metric_infos] == [*pinned, "train/nll"]
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["lr"].number_value == 2e-3
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    expected = {tag: result.get(tag.partition("/")[2]) for tag in names}
    cells = {tag: value.number_value for tag, value in start.hparams.items() if tag not in SETTINGS}
    assert cells == {tag: value for tag, value in expected.items() if value is not None}, "else the cell is empty"


@pytest.mark.parametrize("words", [RUN, (*RUN, "loss=hinge"), TEXT], ids=["ce", "hinge", "text"])
def test_curves_come_first_and_are_few(words: tuple[str, ...], tmp_path: Path) -> None:
    """Cards are ordered by the names of their groups; one with a dot, or a second run for pictures, says nothing."""
    assert train(*words, f"runs={tmp_path}", "figures=true") == 0
    run = only_run(tmp_path)
    shown = events(run).Tags()
    tags, groups = shown["scalars"], [[tag.partition("/")[0] for tag in shown[kind]] for kind in ("scalars", "images")]
    assert 8 <= len(tags) <= 25
    assert set(groups[0]) == {"train", "val"}
    assert max(groups[0]) < min(groups[1])
    with (run / "metrics.csv").open() as file:
        recorded = {line["tag"] for line in csv.DictReader(file)}
    assert {tag for tag in recorded if tag not in tags and not tag.startswith("test/")} <= {
        *("train/bits", "val/bits", "train/mce", "val/mce"),
    }
    assert list(tmp_path.rglob("*tfevents*")) == list(run.glob("*tfevents*")), "one run in the list for one training"
    assert [path.stem for path in sorted((run / "figures").iterdir())] == sorted(
        tag.partition("/")[2] for tag in shown["images"]
    )


def test_a_table_without_what_is_infinite() -> None:
    """TensorBoard answers with JSON, which has no such number, and the whole table would stay empty."""
    assert cells(CLASSIFICATION, {"nll": 800.0, "perplexity": math.inf, "ece": None, "accuracy": math.nan}) == {
        "test/nll": 800.0
    }


def test_row_holds_what_the_command_set() -> None:
    words = (
        "loss=focal",
        "loss.gamma=3",
        "optimizer.lr=1e-3",
        "data.label_noise=0.4",
        "seed=7",
        "trainer.max_epochs=5",
    )
    command = composed(*words)
    values = settings(resolve(command.cfg) | {"choices": command.choices})
    assert values.keys() == SETTINGS.keys()
    expected = {
        **{"loss": "focal", "loss_parameters": "gamma=3", "lr": 1e-3, "seed": "7"},
        **{"label_noise": 0.4, "target_noise": None, "imbalance": None, "train_examples": None},
        **{"max_epochs": 5.0, "max_steps": None, "data": "mnist_5k", "optimizer": "adamw"},
        **{"teacher": None, "judge": None},
    }
    assert {key: values[key] for key in expected} == expected
    assert "val_fraction=0.1" in values["data_parameters"] and "label_noise=0.4" in values["data_parameters"]


def test_row_of_text_lacks_what_only_images_have() -> None:
    command = composed(*TEXT)
    values = settings(resolve(command.cfg) | {"choices": command.choices})
    assert values.keys() == SETTINGS.keys()
    assert "label_noise" not in values["data_parameters"] and "block_size=8" in values["data_parameters"]
    assert (values["model"], values["label_noise"]) == ("gpt", None)


def test_another_family_has_columns_of_its_own() -> None:
    names = [f"m{i}" for i in range(9)]
    columns = tuple(Column(name) for name in names)
    family = Family(
        "own", columns, chooses=("m8",), keeps="m0", shown=("m1", "m2"), charts=("m3",), against=("m2", "m4")
    )
    assert of_test(family) == tuple(f"test/{name}" for name in names)
    assert curves(family) == ("val/m3", "train/m8")
    assert ticked(family) == ("loss", "lr", "test/m1", "test/m2", "test/m4")
    assert cells(family, {"m0": 1.0, "nll": 2.0}) == {"test/m0": 1.0}


def test_a_run_stopped_and_finished_is_one_row(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_at(8, patch)
        assert train(*RUN, f"runs={tmp_path}") == 1
    run = only_run(tmp_path)
    tags = Counter(tag for tag, _, _ in written(run))
    assert not any(tag.startswith("_hparams_") for tag in tags), "the table holds finished runs"
    assert train(*RUN, f"runs={tmp_path}", "retry_failed=true") == 0
    tags = Counter(tag for tag, _, _ in written(run))
    assert tags[metadata.SESSION_START_INFO_TAG] == 1


@pytest.mark.slow
def test_curves_over_examples_go_on_where_they_were(tmp_path: Path) -> None:
    """The last checkpoint is of step 4, the file has step 6 after it."""
    words = (*RUN, "x_axis=samples_seen", f"runs={tmp_path}")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(8, patch)
        assert train(*words) == 1
    run = only_run(tmp_path)
    assert [step for step, _ in scalars(run)["train/nll"]] == [120, 240]
    with pytest.raises(UserError, match=r"x_axis=step: .* drawn over samples_seen; finish it with x_axis=samples_seen"):
        train(*RUN, f"runs={tmp_path}", "retry_failed=true")
    next_second()
    assert train(*words, "retry_failed=true") == 0
    assert [step for step, _ in scalars(run)["train/nll"]] == [120, 240, 360, 400]
    assert [step for step, _ in scalars(run)["val/nll"]] == [160, 320, 400]
    assert set(steps_and_examples(run)) == {3, 4, 6, 8, 9, 10}
    drawn = {step for values in scalars(run).values() for step, _ in values}
    assert drawn == set(steps_and_examples(run).values())


def test_axis_is_said_to_be_ignored_where_nothing_is_drawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(*RUN, "logger=csv", "x_axis=samples_seen", f"runs={tmp_path}") == 0
    assert "x_axis is ignored: only TensorBoard" in caplog.text


def png(picture: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    return written.getvalue()


def test_pictures_and_text_are_beside_the_curves(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    logger = EventFiles(tmp_path, CLASSIFICATION, unit=20, resumed_at=None)
    logger.log_metrics({"val/nll": 1.0, "test/nll": 2.0, "val/bits": 1.4, "train/mce": 0.1}, 1)
    logger.image("reliability", png(picture), 2)
    logger.image("reliability", png(picture), 3)
    logger.text("samples", "To be", 2)
    logger.save()
    next_second()
    later = EventFiles(tmp_path, CLASSIFICATION, unit=20, resumed_at=2)
    later.image("reliability", png(picture[:4]), 4)
    later.save()
    shown = events(tmp_path)
    images = shown.Images("visuals/reliability")
    assert [(image.step, image.height, image.width) for image in images] == [(40, 5, 7), (80, 4, 7)]
    assert images[0].encoded_image_string == png(picture)
    (text,) = shown.Tensors("samples/text_summary")
    assert (text.step, text.tensor_proto.string_val[0]) == (40, b"To be")
    assert scalars(tmp_path) == {"val/nll": [(20, 1.0)]}
