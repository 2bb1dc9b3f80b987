"""What was typed is what is used, in a single run and in a sweep alike, or it is refused."""

from typing import Any

import pytest
from hydra.errors import HydraException

from src.config.entry import resolve
from src.config.errors import UserError
from src.config.message import message
from src.config.words import check_line, key_of, parted
from tests.commands import composed
from tests.sweep.composing import jobs

# unquoted values that YAML, Hydra or Python may read as a number, a truth value, nothing, or a time
RAW = ["1e3", "0123", "1_000", "true"]
MORE = [
    *("on", "1:30", "nan"),
    *("1E3", "007", "0x10", "0o17", "0b1", ".5", "5.", "1.0", "1.10", "+1", "-0", "-0.0", "1_000.5", "no", "y", "n"),
    *("off", "yes", "TRUE", "False", "1:30:00", "2024-01-02", "20240102", "inf", "-inf", "NaN", ".inf", "1e400"),
    *("123456789012345678901234567890", "0", "1", "Null_", "null_", "1e", "e3", "_1", "1-2", "1/2", "50%", "$5"),
]
ALL = [*RAW, *(pytest.param(raw, marks=pytest.mark.slow) for raw in MORE)]
NUMBERS = ("seed", "trainer.max_steps", "optimizer.lr")


def value_of(cfg: Any, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def single(*words: str) -> Any:
    check_line(words)
    command = composed(*words)
    return resolve(command.cfg, command.typed)


@pytest.mark.parametrize("raw", ALL)
def test_a_text_is_the_one_that_was_typed(raw: str) -> None:
    keys = ("runs", "teacher", "samples.prompt", "data.root", "model.activation")
    words = ["data=mnist", *(f"{key}={raw}" for key in keys)]
    (job,) = jobs("-m", *words)
    first, second = jobs("-m", *words[:-1], f"{words[-1]},other")
    for cfg in (single(*words), job.cfg, first.cfg):
        assert [value_of(cfg, key) for key in keys] == [raw] * len(keys)
    assert value_of(second.cfg, keys[-1]) == "other"


@pytest.mark.parametrize("raw", ALL)
def test_a_number_is_the_one_that_was_typed_or_refused(raw: str) -> None:
    for key in NUMBERS:
        found, swept = taken(f"{key}={raw}"), taken("-m", f"{key}={raw}")
        assert swept == found
        if found is not None:
            assert not isinstance(found, bool) and found == pytest.approx(float(raw), rel=1e-15)
            assert raw not in ("0123", "007", "0x10", "on", "true", "1:30", "nan")


def taken(*words: str) -> Any:
    """The value of the last word's key; None where it is refused."""
    try:
        return value_of(jobs(*words)[0].cfg if words[0] == "-m" else single(*words), key_of(words[-1]))
    except UserError:
        return None


@pytest.mark.parametrize(
    "raw",
    [
        "on",
        "1",
        "null",
        *(pytest.param(raw, marks=pytest.mark.slow) for raw in ("yes", "0", "2", "1.0", "y", "'true'")),
    ],
)
def test_true_and_false_are_the_only_truth_values(raw: str) -> None:
    for key in ("figures", "overwrite", "checkpoint.best", "data.flip"):
        with pytest.raises(UserError, match=f"{key} must be true or false, got "):
            single(f"{key}={raw}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "loss=[ce,focal]",
            r"loss takes one option, got \[ce,focal\]; with -m each of several is a run: -m loss=ce,focal",
        ),
        ("model=[mlp,resnet]", "model takes one option"),
        ("model=[mlp]", "model takes one option"),
        ("loss=ce.yaml", "loss takes the name of an option, not a path, got 'ce.yaml'. Did you mean loss=ce"),
        ("loss=./ce", "not a path, got './ce'. Did you mean loss=ce"),
        ("loss=/loss/ce", "not a path, got '/loss/ce'. Did you mean loss=ce"),
        ("loss=../loss/ce.yml", "not a path.*Did you mean loss=ce"),
        ("data=defaults/images", "not a path"),
        ("-m loss=ce,./focal", "not a path, got './focal'"),
        ("-m loss=ce,[ce,focal]", "loss takes one option"),
        ("loss='[ce,focal]'", "not a path"),
        ("loss=", "loss takes the name of an option"),
        ("loss=null", "a group takes the name of an option, not null: loss=NAME$"),
        ("speed=null", "a group takes the name of an option, not null: speed=NAME; for none, leave the word out"),
        ("model={widths:[3]}", "model takes the name of an option; its keys are words of their own: model.widths"),
        ("trainer={max_epochs:2}", "trainer takes the name of an option"),
        ("loss@foo=ce", "there is no '@' in it"),
        ("~loss", r"only a key of data, model, loss, task, optimizer, scheduler, callbacks can be left out"),
        ("~trainer.max_epochs", "only a key of data"),
        ("~trainer", "only a key of data"),
        ("~model.dropout=0.1", "only a key of data"),
        ("seed=1 ++seed=2", r"seed is there twice: seed=1 and \+\+seed=2"),
        ("seed=1 +seed=1", "seed is there twice"),
        ("ema={decay:0.5} ema.decay=0.9", "ema.decay is there twice: ema={decay:0.5} and ema.decay=0.9"),
        ("model.dropout=0.1 ~model.dropout", "model.dropout is there twice"),
        ("hydra.run.dir=x", r"of Hydra's own keys xent takes hydra/launcher, hydra.launcher, hydra.mode"),
        ("hydra.output_subdir=x", "of Hydra's own keys"),
        ("hydra.job.chdir=true", "of Hydra's own keys"),
        ("hydra/job_logging=default", "of Hydra's own keys"),
        ("+hydra.foo=1", "of Hydra's own keys"),
        ("hydra.mode=MULTIRUN", "there is no other mode"),
        ("-m seed=0,1 hydra.mode=RUN", "-m asks for many runs, and hydra.mode=RUN for one"),
        ("--config-dir=nowhere", "--config-dir=nowhere is not found"),
        ("-m --config-dir nowhere seed=0,1", "--config-dir=nowhere is not found"),
        (f"--config-dir={__file__}", "is a file, not a folder"),
        ("--config-name=mine", "xent takes no --config-name: --config-dir=FOLDER adds options of your own"),
        ("--config-path=/tmp", "xent takes no --config-path"),
        ("--experimental-rerun=x", "xent takes no --experimental-rerun"),
        ("--mult seed=0,1", "there is no flag --mult"),
        ("--multirun=3", "ignored explicit argument '3'"),
        ("--config-dir", "expected one argument"),
        ("optimizer.lr=1_0", "optimizer.lr: write 1_0 without underscores; they may only part thousands, as in 10_000"),
        ("model.widths=[2_56]", "model.widths: write 2_56 without underscores"),
    ],
)
def test_what_hydra_would_take_for_something_else(words: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_line(words.split(" "))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("+trainer.foo=3", "unknown key 'foo' in trainer"),
        ("++trainer.foo=3", "unknown key 'foo' in trainer"),
        ("+trainer.x.y=3", "unknown key 'x' in trainer"),
        ("+ema.foo=1", "unknown key 'foo' in ema. Valid: decay"),
        ("+samples.tempreature=1", "unknown key 'tempreature' in samples. Did you mean temperature"),
        ("+checkpoint.every.n=1", "unknown key 'every' in checkpoint"),
        ("+task.criterion.x=1", "task"),
        ("ema=0.9", "ema takes no value; its keys are ema.decay"),
        ("checkpoint=null", "checkpoint takes no value; its keys are checkpoint.every_n_steps, checkpoint.best"),
    ],
)
def test_a_key_that_is_not_known_at_any_depth(words: str, expected: str) -> None:
    for compose in (lambda: single(words), lambda: jobs("-m", words, "seed=0,1")):
        with pytest.raises((UserError, HydraException)) as caught:
            compose()
        assert expected in message(caught.value)[0]


def test_commas_inside_of_brackets_quotes_and_escapes_part_nothing() -> None:
    assert list(parted("a,[1,2],'x,y',\"u,'v\",f(1,2),{a:1,b:2},p\\,q")) == [
        *("a", "[1,2]", "'x,y'", '"u,\'v"', "f(1,2)", "{a:1,b:2}", "p\\,q")
    ]
