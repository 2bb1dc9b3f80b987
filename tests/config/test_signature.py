"""What a target can be that is no class with Python source: each is one clear message, and nothing is imported."""

import sys
from pathlib import Path

import pytest

from src.config.check import check_target
from src.config.errors import UserError
from src.config.signature import TargetNotFoundError, signature
from src.config.trust import PACKAGES

PATH = "is no dotted path to a class"
SOURCE = "has no Python source"
ODD: list[tuple[object, str]] = [
    *((value, PATH) for value in (None, 3, 3.5, True, [], ["src.losses.ce.CrossEntropyLoss"], {"a": 1}, "", ".", "..")),
    *((value, PATH) for value in ("a.", ".a", "src", "src..ce.X", "src.losses.ce.", "src/losses/ce.X", "../../x.Y")),
    *((value, PATH) for value in ("src.losses.ce:X", "src.losses.ce.X\n", "\x00.A", "\ud800.x", "a b.C", "x" * 5000)),
    *((f"{module}.x", SOURCE) for module in ("builtins", "sys", "math", "zlib", "_socket", "os", "itertools")),
    ("__main__.X", "no (package '__main__'|'X' in )"),
    ("nowhere.X", "no package 'nowhere'"),
    ("ü.Ä", "no package 'ü'"),
    ("src.losses", "'losses' is a module; name a class in it"),
    ("src.losses.ce", "'ce' is a module; name a class in it"),
    ("src.models.mlp", "is a folder of modules; name a class in one of base, "),
    ("src.losses.cee.X", r"no module 'cee' \(there: .*\bbase, bce"),
    ("src.losses.ce.CrossEntropyLoss.__init__", "no module 'CrossEntropyLoss'"),
    ("src.models.__init__.X", "no module '__init__'"),
    ("src.losses.base.upcast", "'upcast' in base.py is a function, and a class is wanted"),
    ("src.config.check.PRECISIONS", "'PRECISIONS' in check.py is a value, and a class is wanted"),
    ("src.losses.base.torch", "no 'torch' in base.py"),
    ("torch.optim", "'optim' is a module; name a class in it"),
    ("torch._C.Generator", "'_C' is a folder of modules"),
    ("numpy.ndarray", "no 'ndarray' in __init__.py"),
    ("odd.broken.X", "broken.py cannot be read as Python"),
    ("odd.nul.X", "nul.py cannot be read as Python"),
    ("odd.latin.X", "latin.py cannot be read as Python"),
    ("odd.partial", "'partial' in __init__.py is a value, and a class is wanted"),
    ("odd.circle.X", "lead back to themselves"),
    ("odd.own_base.X", "lead back to themselves"),
]


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "odd"
    package.mkdir()
    for name, text in {
        **{"__init__": b"import functools\npartial = functools.partial(print)\n", "broken": b"class X(\n"},
        **{"nul": b"class X: ...\n\x00", "latin": "class X: 'é'\n".encode("latin-1")},
        **{"circle": b"from odd.again import X\n", "again": b"from odd.circle import X\n"},
        "own_base": b"class X(X): ...\n",
    }.items():
        (package / f"{name}.py").write_bytes(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


@pytest.mark.parametrize(("target", "message"), ODD, ids=[f"{i}-{str(row[0])[:20]!r}" for i, row in enumerate(ODD)])
def test_an_odd_target(target: object, message: str) -> None:
    before = set(sys.modules)
    with pytest.raises(TargetNotFoundError, match=message):
        signature(target)
    for group in PACKAGES:
        with pytest.raises(UserError) as error:
            check_target(group, {"_target_": target}, frozenset())
        assert str(error.value).startswith(f"{group}._target_=") and len(str(error.value)) < 1000
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"odd", "zlib", "nowhere"}


def test_a_source_in_its_own_encoding(sources: Path) -> None:
    """Whatever the locale."""
    text = "# -*- coding: latin-1 -*-\nclass X:\n    def __init__(self, é: int) -> None: ...\n"
    (sources / "declared.py").write_bytes(text.encode("latin-1"))
    assert list(signature("odd.declared.X")) == ["é"]
