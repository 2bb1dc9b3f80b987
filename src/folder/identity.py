"""What names a run: a hash of all that can change its numbers; and what is the same data."""

import hashlib
import json
import re
from collections.abc import Container, Iterable
from typing import Any

from ..plain import Plain

# Keys that cannot change a run's numbers.
NEUTRAL = (
    *("seed", "experiment", "ablation", "logger", "x_axis", "figures", "runs", "resume", "teacher", "judge"),
    *("samples", "overwrite", "retry_failed", "profiler", "name", "label", "note", "tags"),
    *("trainer.log_every_n_steps", "trainer.accelerator", "checkpoint.every_n_steps", "data.root", "data.path"),
    "data.resident",
)
# What a message calls the facts of an identity that no key holds.
FACTS = {
    "facts.fingerprint": "the content of the data (its SHA-256)",
    "facts.teacher": "the teacher's weights (their SHA-256)",
    "facts.judge": "the judge's weights (their SHA-256)",
    "facts.device": "the device",
}
# Keys of data that say where they are, or how they are cut up to be tested: the examples are the same.
PLACES = (*(key.removeprefix("data.") for key in NEUTRAL if key.startswith("data.")), "eval_batch_size")


def identity(cfg: Plain, facts: Plain) -> str:
    """Eight hex digits that name a configuration without its seed: a hash of all that can change its numbers.

    ``facts`` are those that no key holds: the data's fingerprint, threads and device as resolved.
    """
    return digest(named(cfg, facts))[:8]


def named(cfg: Plain, facts: Plain) -> Plain:
    """All that a run's identity is a hash of: its keys but for the neutral ones and the seed, and its facts."""
    kept = {}
    for key, value in cfg.items():
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if f"{key}.{name}" not in NEUTRAL}
        if key not in NEUTRAL:
            kept[key] = value
    return {"config": kept, "facts": facts}


def essence(config: Plain) -> Plain:
    """What config.yaml holds, without the keys that cannot change a number, with the name of the run's folder."""
    kept = named(config, {})
    if "name" in config:
        kept["config"]["name"] = config["name"]
    return kept | {"seed": config.get("seed")}


def differences(there: Plain, here: Plain) -> list[str]:
    """What differs between two runs, by ``named``: "loss.gamma is 2 there and 3 here"."""
    one, other = _flat(there), _flat(here)
    found = []
    for key in sorted(one.keys() | other.keys()):
        if repr(as_floats(one.get(key))) != repr(as_floats(other.get(key))):
            name = key.removeprefix("config.")
            found.append(f"{FACTS.get(name, name)} is {_short(one.get(key))} there and {_short(other.get(key))} here")
    return found


def _flat(value: Plain, prefix: str = "") -> Plain:
    flat: Plain = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
    return flat


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else "missing" if value is None else str(value)
    return f"{text[:12]}..." if len(text) > 40 else text


def digest(value: Plain) -> str:
    """SHA-256 of plain containers; equal numbers count as equal."""
    return hashlib.sha256(json.dumps(as_floats(value), sort_keys=True).encode()).hexdigest()


def as_floats(value: Any) -> Any:
    """Plain containers with every integer as a float: loss.gamma=2 is the default's 2.0."""
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def same_data(config: Plain) -> str:
    """A text that is equal for two stored configurations exactly if their runs learn from the same data.

    The content (``identity_facts.fingerprint``) and the settings that shape it, but for ``PLACES``: never where the
    files are, what they are called or when they were written.
    """
    settings = {key: value for key, value in config["data"].items() if key not in PLACES}
    return digest({"fingerprint": config["identity_facts"]["fingerprint"], "settings": settings})


LONGEST = 60  # characters of a readable name
REST = "etc"  # its last word where not all words had room
SAME = ("trainer=auto", "trainer=cpu", "trainer=gpu", "debug=profiler")  # words that change no number


def slug(choices: Plain, typed: list[str]) -> str:
    """A readable name, the loss and what the user changed, the loss's own keys first: "focal-gamma3-max_epochs5".

    Nothing in it needs quotes in a command. Data and model are left out where the folder above is called by them.
    """
    own_folder = choices.get("ablation") or choices.get("experiment") or any(word.startswith("name=") for word in typed)
    return joined(str(choices["loss"]), changes(choices, typed, () if own_folder else ("data", "model")))


def changes(choices: Plain, typed: Iterable[str], without: Container[str] = ()) -> list[str]:
    """What words change that can change a number, in short: "gamma3", "sgd"; not the loss, nor keys in ``without``."""
    words = [word.lstrip("+~") for word in typed if word not in SAME]
    words.sort(key=lambda word: not word.startswith("loss."))
    parts = []
    for word in words:
        key, _, value = word.partition("=")
        left_out = key in (*NEUTRAL, "loss", "trainer.threads") or key.partition(".")[0] in NEUTRAL or key in without
        if not left_out:
            parts.append(plain(value) if key in choices else _part(key.rpartition(".")[2], value))
    return parts


def joined(name: str, parts: Iterable[str]) -> str:
    """One name of bounded length. A part that has no room is left out whole, and "etc" says so."""
    name, left_out = plain(name), False
    for part in filter(None, parts):
        fits = len(f"{name}-{part}-{REST}") <= LONGEST
        left_out |= not fits
        name = f"{name}-{part}" if fits else name
    return f"{name}-{REST}" if left_out else name


def _part(key: str, value: str) -> str:
    """ "gamma3", "widths400x400" or "class_weights_balanced"."""
    value = plain(re.sub(r"\s*,\s*", "x", value))
    return plain(f"{key}{'_' * value[:1].isalpha()}{value}")


def plain(text: str) -> str:
    """``text`` without what would need quotes in a command, or have a meaning at a name's ends."""
    return (
        re.sub(r"[^\w.+-]+", "_", re.sub(r"[\[\]{}'\"]+", "", text), flags=re.ASCII)
        .lstrip("_.")[:LONGEST]
        .rstrip("_-.")
    )
