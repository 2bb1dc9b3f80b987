"""The page of all keys is what its script makes of the option files today, and says what each key means."""

import re

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from docs.reference import CONF, PAGE, keys, page
from src.config import schema


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run 'python docs/reference.py'"


def test_every_key_has_a_meaning() -> None:
    told = re.findall(r"^\| `([\w.]+)` \| [^|]*\| (.*?) ?\|$", page(), re.MULTILINE)
    assert len(told) > 100
    assert [key for key, meaning in told if not meaning] == []


def test_keys_of_an_option_file() -> None:
    text = (
        "defaults:\n  - x@_here_\n\n_target_: a.B\nplain: 1  # one\ngroup:\n  inner: [a, b]   # two # three\nlast: x\n"
    )
    found = [(key.name, key.default, key.comment) for key in keys(text)]
    assert found == [("plain", "1", "one"), ("group.inner", "[a, b]", "two # three"), ("last", "x", "")]


def test_no_key_of_the_default_run_is_missing() -> None:
    """Hydra's own reading of the option files knows no key that the page does not."""
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = OmegaConf.to_container(compose("config"))
    assert isinstance(cfg, dict)
    for group in ("ablation", "experiment", "callbacks"):
        cfg.pop(group, None)
    page_text = page()

    def names(tree: dict, prefix: str = "") -> list[str]:  # type: ignore[type-arg]
        found = []
        for key, value in tree.items():
            found += names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
        return found

    assert [name for name in names(cfg) if f"| `{name}` |" not in page_text and "_target_" not in name] == []
