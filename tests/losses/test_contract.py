"""What every loss must do, of whatever family, asked of each row of the families' tables."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd.gradcheck import GradcheckError

import src.losses
from src.losses.base import Loss
from tests.conftest import ROOT
from tests.losses.contract import Entry, tables, to

ROWS: list[Entry] = [row for table in tables() for row in table.ROWS]
HALVES = [torch.bfloat16, torch.float16]
each = pytest.mark.parametrize("row", ROWS, ids=str)
each_form = pytest.mark.parametrize("row", [form for row in ROWS for form in row.forms()], ids=str)


def test_files_options_and_rows_are_one_list() -> None:
    """An option that builds on another (``defaults:``) is the same loss with other values, and has no row."""
    files = {path.stem for path in (ROOT / "src/losses").glob("*.py")} - {"__init__"}
    options = {path.stem for path in (ROOT / "conf/loss").glob("*.yaml") if "\n_target_: " in path.read_text()}
    bases = {base for table in tables() for base in table.BASES}
    assert options <= files - bases == {row.name for row in ROWS} and bases <= files


@each
def test_option_builds_the_row_at_its_defaults(row: Entry) -> None:
    option = yaml.safe_load((ROOT / f"conf/loss/{row.name}.yaml").read_text())
    assert option.pop("defaults") == [{"/task@_global_.task": row.task}, "_self_"]
    assert option.pop("_target_") == f"{row.cls.__module__}.{row.cls.__qualname__}"
    assert option == dict(row.kwargs)
    assert getattr(src.losses, row.cls.__name__) is row.cls


@each
def test_every_argument_is_an_option_or_a_fact_and_has_bad_values(row: Entry) -> None:
    facts = row.facts(5)
    assert facts.keys() <= {"num_classes", "class_counts"}
    parameters = inspect.signature(row.cls).parameters
    assert parameters.keys() == row.kwargs.keys() | facts.keys() == row.bad.keys()
    assert {parameter.kind for parameter in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        pytest.param(row, name, value, id=f"{row}-{name}={value!r}")
        for row in ROWS
        for name, values in row.bad.items()
        for value in values
    ],
)
def test_bad_argument_is_refused_by_name(row: Entry, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
        row.build(**{name: value})


@each
def test_keeps_nothing_in_a_checkpoint(row: Entry) -> None:
    for kwargs in row.cases:
        assert not row.build(**kwargs).state_dict() and not list(row.build(**kwargs).parameters())


@each_form
def test_value_is_the_references(row: Entry) -> None:
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        given = row.given(loss)
        got = row.value(loss, *given)
        assert got.shape == (len(given[0]),) and got.dtype == torch.float64
        expected = row.expected(*given, **kwargs)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12, err_msg=str(kwargs))


def of_learned(row: Entry, loss: Loss, count: int | None = None) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The value as a function of what the network gives, and that, of the first ``count`` examples."""
    given = [tensor[:count] for tensor in row.given(loss)]

    def value(*learned: Tensor) -> Tensor:
        every = dict(enumerate(given)) | dict(zip(row.learned, learned, strict=True))
        return row.value(loss, *every.values())

    return value, [given[i].clone().requires_grad_() for i in row.learned]


@each_form
def test_gradient(row: Entry) -> None:
    """Against central differences: each number for the defaults, and along a random direction for other settings."""
    for kwargs in row.cases:
        value, learned = of_learned(row, row.build(**kwargs))
        if not row.constant:
            assert torch.autograd.gradcheck(value, learned, fast_mode=bool(kwargs)), kwargs
        elif not kwargs:
            with pytest.raises(GradcheckError):  # a factor passes on no gradient, as its source wants it
                torch.autograd.gradcheck(value, learned)


@each_form
def test_second_derivative(row: Entry) -> None:
    value, learned = of_learned(row, row.build(), count=4)
    if row.constant:
        with pytest.raises(GradcheckError):
            torch.autograd.gradgradcheck(value, learned, fast_mode=True)
    elif row.twice:
        assert torch.autograd.gradgradcheck(value, learned, fast_mode=True)
    else:
        with pytest.raises(RuntimeError):
            torch.autograd.gradgradcheck(value, learned, fast_mode=True)


@each_form
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_is_raised_to_float32(row: Entry, dtype: torch.dtype) -> None:
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        half = to(row.given(loss), dtype)
        expected = row.value(loss, *to(half, torch.float32))
        assert expected.dtype == torch.float32
        torch.testing.assert_close(row.value(loss, *half), expected, rtol=0, atol=0)


@each_form
def test_float32_agrees_with_float64(row: Entry) -> None:
    loss = row.build()
    given = to(row.given(loss), torch.float32)
    exact = row.value(loss, *to(given, torch.float64))
    torch.testing.assert_close(row.value(loss, *given).double(), exact, rtol=2e-6, atol=2e-6)


@each_form
def test_order_of_examples_does_not_matter(row: Entry) -> None:
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        given = row.given(loss)
        order = torch.randperm(len(given[0]), generator=torch.Generator().manual_seed(3))
        got = row.value(loss, *(tensor[order] for tensor in given))
        torch.testing.assert_close(got, row.value(loss, *given)[order], rtol=1e-13, atol=1e-13)


@each_form
def test_examples_are_independent_unless_said_otherwise(row: Entry) -> None:
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        given = row.given(loss)
        single = [row.value(loss, *(tensor[i : i + 1] for tensor in given)) for i in range(len(given[0]))]
        same = torch.allclose(torch.cat(single), row.value(loss, *given), rtol=1e-13, atol=1e-13)
        assert same != row.looks_at_the_batch(**kwargs), kwargs


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(form, marks=[] if form is row else [pytest.mark.slow], id=str(form))
        for row in ROWS
        for form in row.forms()
    ],
)
def test_compiles_to_the_same(row: Entry) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(row.value, backend=counter, fullgraph=True)
    if row.compiles:
        check_compiled(row, compiled)
        assert counter.frame_count >= 1
    else:
        with pytest.raises(TorchDynamoException):
            check_compiled(row, compiled)


@pytest.mark.slow
@each_form
def test_compiles_to_the_same_with_inductor(row: Entry) -> None:
    if row.compiles:
        torch._dynamo.reset()
        check_compiled(row, torch.compile(row.value, fullgraph=True))


def check_compiled(row: Entry, compiled: Callable[..., Tensor]) -> None:
    """Value and gradients of both, to some units of float32's last place: a graph adds in another order."""
    loss = row.build()
    given = to(row.given(loss), torch.float32)
    results = []
    for way in (row.value, compiled):
        learned = {i: given[i].clone().requires_grad_() for i in row.learned}
        value = way(loss, *(learned.get(i, tensor) for i, tensor in enumerate(given)))
        value.sum().backward()
        results.append((value, [tensor.grad for tensor in learned.values()]))
    torch.testing.assert_close(results[1], results[0], rtol=3e-5, atol=5e-6)


@each_form
def test_vmap(row: Entry) -> None:
    loss = row.build()
    groups = tuple(tensor.unflatten(0, (2, -1)) for tensor in row.given(loss))
    expected: list[Any] = [row.value(loss, *(group[i] for group in groups)) for i in range(2)]
    got = torch.func.vmap(functools.partial(row.value, loss))(*groups)
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-13, atol=1e-13)
