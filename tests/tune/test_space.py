"""What the words of a search say."""

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from src.config.errors import UserError
from src.tune.space import Dimension, checked_space, split
from src.tune.study import make_composer

COMPOSER = make_composer()


def searched(*words: str) -> list[Dimension]:
    fixed, space = split(words, COMPOSER.loader)
    return checked_space(fixed, space, COMPOSER)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("optimizer.lr=interval(1e-4,1e-1)", FloatDistribution(1e-4, 1e-1)),
        ("optimizer.lr=log(1e-4,1e-1)", FloatDistribution(1e-4, 1e-1, log=True)),
        ("optimizer.lr=tag(log,interval(1e-4,1))", FloatDistribution(1e-4, 1, log=True)),
        ("loss.gamma=interval(0,5)", FloatDistribution(0, 5)),
        ("data.batch_size=log(16,512)", IntDistribution(16, 512, log=True)),
        ("data.batch_size=interval(16,512)", IntDistribution(16, 512)),
        ("trainer.max_epochs=interval(1,9)", IntDistribution(1, 9)),
        ("loss.gamma=int(interval(1,4))", IntDistribution(1, 4)),
        ("data.batch_size=range(16,65,16)", IntDistribution(16, 64, step=16)),
        ("trainer.max_epochs=range(3)", None),  # 0 is no number of epochs
        ("trainer.max_epochs=range(1,3)", IntDistribution(1, 2)),
        ("model.dropout=range(0,0.5,0.25)", FloatDistribution(0, 0.25, step=0.25)),
        ("model.widths=[128],[256,256]", CategoricalDistribution(["[128]", "[256,256]"])),
        ("loss.gamma=choice(1,2.5)", CategoricalDistribution(["1", "2.5"])),
        ("optimizer=adamw,sgd", CategoricalDistribution(["adamw", "sgd"])),
        ("trainer.gradient_clip_val=null,1", CategoricalDistribution(["null", "1"])),
    ],
)
def test_each_form(word: str, wanted: BaseDistribution | None) -> None:
    if wanted is None:
        with pytest.raises(UserError, match="must be an integer >= 1, got 0"):
            searched("loss=focal", word)
        return
    assert [(d.key, d.distribution) for d in searched("loss=focal", word)] == [(word.partition("=")[0], wanted)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=1e-3"], "nothing to search"),
        (["optimizer.lr=lgo(1e-4,1)"], "optimizer.lr: there is no lgo(...). Did you mean log?"),
        (["optimizer.lr=log(0,1)"], "optimizer.lr: log needs ends above 0, got 0"),
        (["optimizer.lr=interval(1,0.1)"], "the first end must be below the second, got 1 and 0.1"),
        (["optimizer.lr=log(1e-4)"], "optimizer.lr=log(1e-4) cannot be read. A search takes interval(a,b)"),
        (["optimizer.lr=log(1e-4,a)"], "optimizer.lr=log(1e-4,a) cannot be read"),
        (["optimizer.lr=tag(lg,interval(1,2))"], "unknown tag lg; there is log"),
        (["trainer.max_epochs=range(1,2)"], "the range has 1 values; the second end is not in it"),
        (["loss=ce,ce"], "loss needs different values to choose from, got ce, ce"),
        (["loss=ce,fokal"], "unknown loss 'fokal'. Did you mean focal?"),
        (["loss=ce,focal", "loss.gamma=1,2"], "unknown key 'gamma' in loss"),
        (["optimizer.lrr=log(1e-4,1)"], "unknown key 'lrr' in optimizer. Did you mean lr?"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr must be a number >= 0, got -1"),
        (["data.batch_size=interval(1.5,7)"], "data.batch_size must be an integer, got 1.5"),
    ],
)
def test_what_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        searched(*words)
    assert message in str(caught.value)


def test_words_can_be_typed_and_stay_inside() -> None:
    lr = Dimension("optimizer.lr", FloatDistribution(0.12341, 0.2))
    assert lr.word(0.1876543) == "optimizer.lr=0.1877"
    assert lr.word(0.12346) == "optimizer.lr=0.1235"
    assert lr.word(0.12341) == "optimizer.lr=0.12341"
    assert Dimension("a", FloatDistribution(1e-9, 1, log=True)).word(1.23456e-8) == "a=1.235e-08"
    assert Dimension("n", IntDistribution(1, 10**6)).word(123456) == "n=123456"
