"""Data sets of numbers: rotation against a second library, splits, standardisation, noise of training targets alone."""

import functools
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn.datasets import load_diabetes
from torch import Tensor

from src.data.base import DataError, generator
from src.data.diabetes import Diabetes
from src.data.digit_angle import DigitAngle, rotated
from src.data.digits import official_digits
from src.data.splits import divided
from src.data.values import Given, ValueData, replaced

SETTINGS: dict[str, Any] = {
    "batch_size": 64,
    "eval_batch_size": 300,
    "val_fraction": 0.1,
    "train_examples": None,
    "target_noise": 0.0,
}


@functools.cache
def angle(**changes: Any) -> DigitAngle:
    data = DigitAngle(**{**SETTINGS, **changes})
    data.load()
    return data


def diabetes(**changes: Any) -> Diabetes:
    data = Diabetes(**{**SETTINGS, "fold": 0, **changes})
    data.load()
    return data


def in_units(data: ValueData, split: str) -> Tensor:
    return data.splits[split][1].double() * data.spec.target_std + data.spec.target_mean


def test_rotation_is_counter_clockwise_in_degrees() -> None:
    """Against SciPy's, inside of the image, and exactly at right angles."""
    images = torch.zeros(3, 1, 28, 28, dtype=torch.float64)
    images[:, 0, 8:20, 10:16] = torch.rand(12, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for degrees in (-60.0, -7.5, 0.0, 33.0):
        got = rotated(images, torch.full((3,), degrees, dtype=torch.float64))
        expected = ndimage.rotate(images[0, 0].numpy(), degrees, reshape=False, order=1)
        np.testing.assert_allclose(got[0, 0].numpy(), expected, atol=1e-9)
    quarter = rotated(images, torch.tensor([90.0, 180.0, -90.0], dtype=torch.float64))
    for got, turns in zip(quarter, (1, 2, -1), strict=True):
        torch.testing.assert_close(got, images[0].rot90(turns, (1, 2)), atol=1e-9, rtol=0)


def test_each_image_of_a_batch_is_turned_by_its_own_angle() -> None:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = torch.tensor([-50.0, -1.0, 20.0, 59.0], dtype=torch.float64)
    alone = torch.cat([rotated(images[i : i + 1], angles[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(rotated(images, angles), alone, rtol=0, atol=0)


def test_angles_are_uniform_and_fixed() -> None:
    data, again = angle(), angle(batch_size=32, val_fraction=0.3)
    for split, count in (("train", 3600), ("val", 400), ("test", 1000)):
        degrees = in_units(data, split)
        assert len(degrees) == count and degrees.abs().max() < 60
        assert stats.kstest(degrees.numpy(), "uniform", (-60, 120)).pvalue > 0.01
    # An image has its angle in whichever split it lies
    first, second = ({(y.item()) for part in ("train", "val") for y in d.raw[part][1]} for d in (data, again))
    assert first == second and len(first) == 4000
    torch.testing.assert_close(in_units(data, "test"), in_units(again, "test"), rtol=0, atol=1e-4)


def test_digits_are_rotated_by_their_targets() -> None:
    data = angle()
    images, _ = official_digits().test
    expected = rotated(images.double() / 255, data.raw["test"][1])
    torch.testing.assert_close(data.raw["test"][0], expected, rtol=0, atol=0)
    mean, std = data.spec.mean[0], data.spec.std[0]
    torch.testing.assert_close(data.splits["test"][0].double() * std + mean, expected, rtol=0, atol=1e-6)


def test_validation_has_its_share_of_each_digit() -> None:
    data, labels = angle(), official_digits().train[1]
    train, val = divided(labels, data.val_fraction, generator("validation split", data.split_seed))
    assert torch.bincount(labels[val]).tolist() == [40] * 10
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(labels)))
    assert torch.equal(data.raw["val"][1], data.taken().train.values[val])


@pytest.mark.parametrize("make", [angle, diabetes])
def test_training_statistics_standardise_all_splits(make: Any) -> None:
    data = make()
    x, y = data.splits["train"]
    over = [0, *range(2, x.ndim)]
    torch.testing.assert_close(x.double().mean(over), torch.zeros(x.shape[1]).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.double().std(over, correction=0), torch.ones(x.shape[1]).double(), atol=1e-4, rtol=0)
    assert abs(y.double().mean()) < 1e-6 and y.double().std(correction=0).item() == pytest.approx(1, abs=1e-5)
    for split in ("train", "val", "test"):
        torch.testing.assert_close(in_units(data, split), data.raw[split][1], atol=2e-4, rtol=1e-5)
    assert data.spec.targets == "value" and data.spec.input_shape == tuple(x.shape[1:])


def test_noise_is_of_training_targets_alone_and_uniform() -> None:
    clean, noisy = angle(), angle(target_noise=0.2)
    for split in ("val", "test"):
        torch.testing.assert_close(noisy.raw[split], clean.raw[split], rtol=0, atol=0)
    torch.testing.assert_close(noisy.raw["train"][0], clean.raw["train"][0], rtol=0, atol=0)
    wrong = noisy.raw["train"][1] != clean.raw["train"][1]
    assert stats.binomtest(int(wrong.sum()), 3600, 0.2).pvalue > 0.01
    draws = noisy.raw["train"][1][wrong]
    assert stats.kstest(draws.numpy(), "uniform", (-60, 120)).pvalue > 0.01
    correlation = stats.pearsonr(draws.numpy(), clean.raw["train"][1][wrong].numpy())
    assert correlation.pvalue > 0.01  # a wrong target says nothing of the right one


def test_an_example_has_the_same_wrong_target_in_every_subset() -> None:
    def targets(data: DigitAngle) -> dict[bytes, float]:
        images, values = data.raw["train"]
        return {image.numpy().tobytes(): y.item() for image, y in zip(images, values, strict=True)}

    whole, some = targets(angle(target_noise=0.5)), targets(angle(target_noise=0.5, train_examples=500))
    assert len(some) == 500 and all(whole[image] == y for image, y in some.items())


def test_replaced_keeps_the_rest() -> None:
    values = torch.arange(1000, dtype=torch.float64) + 5000
    got = replaced(values, 0.3, -1.0, 1.0, generator("test"))
    kept = got > 4000
    assert torch.equal(got[kept], values[kept]) and got[~kept].abs().max() <= 1
    assert torch.equal(replaced(values, 0.0, -1.0, 1.0, generator("test")), values)


def test_diabetes_is_scikit_learns() -> None:
    features, target = load_diabetes(return_X_y=True, scaled=False)
    data = diabetes()
    inputs, values = (torch.cat([data.raw[split][i] for split in ("train", "val", "test")]) for i in (0, 1))
    rows = {(*x.tolist(), y.item()) for x, y in zip(inputs, values, strict=True)}
    assert rows == {(*x, y) for x, y in zip(features.tolist(), target.tolist(), strict=True)}
    assert (target.min(), target.max()) == (data.low, data.high)


def test_folds_share_the_patients_out() -> None:
    tests = [diabetes(fold=fold).raw["test"] for fold in range(5)]
    assert sorted(len(values) for _, values in tests) == [88, 88, 88, 89, 89]
    rows = {(*x.tolist(), y.item()) for inputs, values in tests for x, y in zip(inputs, values, strict=True)}
    assert len(rows) == 442


def test_batches_are_rows_of_their_step_however_it_is_cut() -> None:
    whole, cut = angle(batch_size=64), angle(batch_size=16)
    cut.accumulate = 4
    for step in (0, 3, 60):
        x, y = whole.train_batch(7, step)
        parts = [cut.train_batch(7, 4 * step + i) for i in range(4)]
        torch.testing.assert_close((x, y), tuple(map(torch.cat, zip(*parts, strict=True))), rtol=0, atol=0)
        ranks = [whole.train_batch(7, step, rank, 2) for rank in (0, 1)]
        for i, both in enumerate((x, y)):
            assert torch.equal(torch.stack([ranks[0][i], ranks[1][i]], 1).flatten(0, 1), both)


def test_an_epoch_sees_each_example_once_in_an_order_of_its_own() -> None:
    data = angle(batch_size=60)
    epochs = [torch.cat([data.train_batch(0, 60 * epoch + i)[1] for i in range(60)]) for epoch in (0, 1)]
    assert not torch.equal(*epochs)
    for targets in epochs:
        assert torch.equal(targets.sort().values, data.splits["train"][1].sort().values)


def test_a_limited_evaluation_takes_a_fixed_sample() -> None:
    data = angle(eval_batch_size=100)
    parts = [data.eval_batch("test", i, 3)[1] for i in range(3)]
    sample = torch.cat(parts)
    assert [len(part) for part in parts] == [100] * 3
    assert len(set(sample.tolist()) & set(data.splits["test"][1].tolist())) == 300
    assert torch.equal(
        sample, torch.cat([angle.__wrapped__(eval_batch_size=100).eval_batch("test", i, 3)[1] for i in range(3)])
    )
    assert sum(len(data.eval_batch("test", i)[1]) for i in range(data.eval_batches("test"))) == 1000


def test_fingerprint_is_of_what_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    first = DigitAngle(**SETTINGS).fingerprint()
    assert (
        first
        == DigitAngle(**{**SETTINGS, "target_noise": 0.4}).fingerprint()
        != Diabetes(fold=0, **SETTINGS).fingerprint()
    )
    read = DigitAngle.read

    def other(self: DigitAngle) -> Given:
        given = read(self)
        given.test.values[0] += 1e-9
        return given

    monkeypatch.setattr(DigitAngle, "read", other)
    assert DigitAngle(**SETTINGS).fingerprint() != first


def test_another_runs_terms_are_adopted() -> None:
    data, trained = angle.__wrapped__(), angle(target_noise=0.5, train_examples=300)
    data.adopt(trained.spec)
    torch.testing.assert_close(data.splits["test"], trained.splits["test"], rtol=0, atol=0)
    assert data.spec == trained.spec and data.splits.keys() == {"test"}
    with pytest.raises(DataError, match="diabetes has inputs of 10, the model reads 1 x 28 x 28"):
        diabetes().adopt(trained.spec)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision(dtype: torch.dtype) -> None:
    data = Diabetes(fold=2, **SETTINGS)
    data.dtype = dtype
    data.load()
    assert {tensor.dtype for pair in data.splits.values() for tensor in pair} == {dtype}


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "batch_size": [0, 1.5, "a"],
        "eval_batch_size": [0, None],
        "val_fraction": [0, 1, "a"],
        "train_examples": [0, -1, 2.5],
        "target_noise": [-0.1, 1, "a", None, float("nan")],
        "fold": [-1, 5, 1.0, "a", None],
    }.items(),
)
def test_bad_settings_are_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            Diabetes(**{**SETTINGS, "fold": 0, name: value})


def test_what_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"data.train_examples=5000: only 3600 are there"):
        angle(train_examples=5000)
    with pytest.raises(DataError, match="the val split is empty"):
        diabetes(val_fraction=1e-6)
    with pytest.raises(DataError, match="the 1 training targets do not differ"):
        diabetes(train_examples=1)
    assert diabetes(train_examples=20).notes == ("data.batch_size is 20, all that there is to train on",)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        diabetes()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    (tmp_path / "datasets/data").mkdir(parents=True)
    for content in (None, b"", b"no gzip", b"1 2 a\n"):
        if content is not None:
            (tmp_path / "datasets/data/diabetes_data_raw.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"is missing or damaged .*install scikit-learn again|another size"):
            diabetes()
