"""What ``xent evaluate RUN_FOLDER key=value ...`` asks, read before torch is imported. Faults are UserErrors."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ..checks import choice, integer, number
from ..package import CONF, called
from . import schema, trust
from .check import PROVIDED, check_target
from .errors import UserError, suggestion
from .words import check_once, key_of

Plain = dict[str, Any]

KINDS = ("noise", "blur", "contrast", "rotate")  # the corruptions of src/data/shift.py
SEVERITIES = (1, 2, 3, 4, 5)
SAMPLING = ("prompt", "temperature", "top_k", "count", "seed")
OWN = ("shift", "severity", "sample", *SAMPLING)
COMMAND = called("evaluate")
USAGE = f"""xent tests a finished run again, from its folder alone.

  {COMMAND} RUN_FOLDER                           the run's own test, once more
  {COMMAND} RUN_FOLDER data=OPTION data.KEY=...  on other data, or with other keys of its own data
  {COMMAND} RUN_FOLDER shift=KIND [severity=1]   on images made worse: {", ".join(KINDS)};
                                                          several: shift=[noise,blur], shift=all
  {COMMAND} RUN_FOLDER sample=500 [prompt="ROMEO:"] [temperature=0.8] [top_k=40] [count=3] [seed=1]
                                                          text from a language run
  {COMMAND} RUN_FOLDER --config-dir DIR ...      a run whose loss, model or data are of your own, as DIR's
                                                          option files name them; or loss._target_=own.Loss
Tables and figures go to RUN_FOLDER/evaluations/; the run itself is left as it is."""

# Keys of data that shape training alone, and the value of each that leaves the data as they are.
TRAINING: Plain = {
    **{"batch_size": 1, "train_examples": None, "pad": 0, "flip": False, "cutout": 0, "mixup": None},
    **{"mixup_alpha": 1.0, "label_noise": 0.0, "imbalance": None, "without": []},
}
OWN_DATA = "of_the_run"  # the name under which Hydra knows the run's own data


@dataclass(frozen=True)
class Asked:
    """A command: the run's folder, and what to do with it; ``sample`` has the sampling settings typed."""

    folder: Path
    words: tuple[str, ...]
    data: tuple[str, ...]
    shift: tuple[str, ...]
    severities: tuple[int, ...]
    sample: Plain | None
    own: tuple[str, ...] = ()  # words that name classes of the user's own, which the run has
    config_dir: Path | None = None  # where the user's own options are

    @property
    def name(self) -> str:
        """The name of its files: "test", "shift_noise", "fashion_mnist"; a hash where the words do not fit a name."""
        parts = [*self.data]
        if self.shift:
            parts.append("shift_" + ("all" if self.shift == KINDS else "_".join(self.shift)))
            parts += [f"severity{self.severities[0]}"] if self.severities != SEVERITIES else []
        text = "-".join(part.removeprefix("data=").removeprefix("data.").replace("=", "") for part in parts)
        short = re.sub(r"[^\w.+-]+", "_", text)[:60].strip("_-.")
        return f"{short}-{hashlib.sha256(text.encode()).hexdigest()[:8]}" if short != text else short or "test"


def read(arguments: Sequence[str]) -> Asked:
    """The command line in words. Raises UserError."""
    (folder, *words), config_dir = without_config_dir(arguments)
    if "=" in folder and not Path(folder).expanduser().exists():
        raise UserError(f"the first word names the run's folder: {COMMAND} RUN_FOLDER {' '.join(arguments)}")
    check_once(words)
    own = tuple(word for word in words if names_own(word))
    data = tuple(word for word in words if is_of_data(word) and word not in own)
    typed: Plain = {}
    for before, word in zip([folder, *words], words, strict=False):
        if word not in (*data, *own):
            key, value = own_word(word, before)
            typed[key] = value
    try:
        wanted = sampling(data, typed) if set(typed) & {"sample", *SAMPLING} else testing(typed)
    except ValueError as error:
        raise UserError(str(error)) from None
    return Asked(Path(folder).expanduser(), tuple(words), data, *wanted, own, config_dir)


def without_config_dir(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The words but for ``--config-dir DIR``, as train.py takes it, and DIR. Raises UserError."""
    words, found = [], None
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            words.append(word)
            continue
        found = Path(value if equals else next(rest, "")).expanduser()
        if not (value or not equals) or not found.is_dir() or found == Path():
            raise UserError(f"{flag} {value if equals else found}: no such folder")
    if not words:
        raise UserError(f"which run? Name its folder.\n\n{USAGE}")
    return words, found


def names_own(word: str) -> bool:
    """Whether a word is ``GROUP._target_=...``, or ``GROUP=OPTION`` of a group that evaluation keeps."""
    group, _, below = key_of(word).partition(".")
    return group in trust.PACKAGES and (below == "_target_" or (not below and group != "data" and "=" in word))


def check_own(asked: Asked, cfg: Plain) -> None:
    """Trust what the command names of the user's own, then check what the run names. Raises UserError."""
    for word in asked.own:
        if not trust.agrees(word, cfg):
            raise UserError(f"a run keeps its configuration, and {word} is not in it: leave it out")
    trust.name(word.partition("=")[2] for word in asked.own if "._target_=" in word)
    if asked.config_dir:
        trust.name(trust.targets_below(asked.config_dir))
    replaced = asked.sample is not None or any(key_of(word) == "data" for word in asked.data)
    trust.check_stored(asked.folder, cfg, ("model", "loss") if replaced else ("data", "model", "loss"))


def is_of_data(word: str) -> bool:
    key = key_of(word)
    return key == "data" or key.startswith("data.")


def own_word(word: str, before: str) -> tuple[str, Any]:
    """A word that is none of data's, as key and value. Raises UserError."""
    key, equals, value = word.partition("=")
    if not equals:
        if before.startswith("prompt="):
            raise UserError(f'a prompt with spaces needs quotes around it: "{before} {word} ..."')
        raise UserError(f"'{word}' is not of the form key=value. A word is key=value, without spaces")
    if key not in OWN:
        valid = f" Valid: data, data.KEY, {', '.join(OWN)}"
        raise UserError(f"unknown key '{key}': a run keeps its configuration.{suggestion(key, ['data', *OWN])}{valid}")
    if key == "prompt":  # a text as it is typed, whatever is in it, but for breaks
        breaks = {"n": "\n", "t": "\t", "\\": "\\"}
        return key, re.sub(r"\\([nt\\])", lambda found: breaks[found[1]], value)
    (parsed,) = OverridesParser.create().parse_overrides([word])
    if parsed.is_sweep_override():
        several = f": several are shift=[{value}]" if key == "shift" else ""
        raise UserError(f"{word}: one command takes one value{several}")
    return key, parsed.value()


Wanted = tuple[tuple[str, ...], tuple[int, ...], Plain | None]  # shift, severities, sample


def sampling(data: tuple[str, ...], typed: Plain) -> Wanted:
    """What a command that asks for text wants. Raises UserError and ValueError."""
    if "sample" not in typed:
        key = next(key for key in typed if key in SAMPLING)
        raise UserError(f"{key}= is about samples: say how many characters to write, sample=500; or leave it out")
    odd = [*data, *(key for key in ("shift", "severity") if key in typed)]
    if odd:
        raise UserError(f"sample writes text and tests nothing: leave out {odd[0]}")
    integer("sample", typed["sample"], low=1)
    if typed.get("prompt") == "":
        raise UserError("prompt must be at least one character, got ''")
    if "temperature" in typed:
        number("temperature", typed["temperature"], low=1e-6)  # what is as good as 0: top_k=1
    if typed.get("top_k") is not None:
        integer("top_k", typed["top_k"], low=1)
    integer("count", typed.get("count", 1), low=1)
    integer("seed", typed.get("seed", 0), low=0)
    return (), SEVERITIES, {"length": typed.pop("sample"), "count": 1} | typed


def testing(typed: Plain) -> Wanted:
    """What a command that asks for a test wants. Raises UserError and ValueError."""
    kinds: Any = typed.get("shift", [])
    kinds = list(KINDS) if kinds == "all" else kinds if isinstance(kinds, list) else [kinds]
    for kind in kinds:
        near = suggestion(kind, KINDS) if isinstance(kind, str) else ""
        try:
            choice("shift", kind, (*KINDS, "all"))
        except ValueError as error:
            raise UserError(f"{error}.{near}") from None
    if "all" in kinds or ("shift" in typed and not kinds):
        raise UserError("shift must be all by itself, or a list of kinds: shift=[noise,blur]")
    severities: tuple[int, ...] = SEVERITIES
    if "severity" in typed:
        severities = (integer("severity", typed["severity"], low=1, high=5),)
        if not kinds:
            raise UserError(f"severity= is that of a shift: add shift=KIND, of {', '.join(KINDS)}")
    return tuple(dict.fromkeys(kinds)), severities, None


def check_kind(asked: Asked, kind: str) -> None:
    """Raise UserError for what the run's kind of data, image or text, has not."""
    if asked.shift and kind == "text":
        raise UserError(f"shift={asked.shift[0]} is of images, this run reads text")
    if asked.sample and kind == "image":
        raise UserError("sample is of language runs, this run reads images")


def other_data(asked: Asked, cfg: Plain) -> tuple[Plain, str]:
    """The configuration of the data that a command names, by Hydra, and the option; the run's where there is none.

    Blocks and images keep the run's size unless a word says otherwise. Raises UserError and Hydra's exceptions.
    """
    words = asked.data
    overrides = OverridesParser.create().parse_overrides(list(words))
    for word, parsed in zip(words, overrides, strict=True):
        if parsed.is_sweep_override():
            raise UserError(f"{word}: one command takes one value")
        if parsed.key_or_group == "data" and not isinstance(parsed.value(), str):
            raise UserError(f"{word}: the option is the name of a file in conf/data/")
    keys = [parsed.key_or_group for parsed in overrides]
    typed = {key.partition(".")[2] for key in keys}
    schema.register()
    own = "data" not in keys
    if own:
        ConfigStore.instance().store(group="data", name=OWN_DATA, node=cfg["data"])
    first = [f"data={OWN_DATA}"] if own else []
    if asked.config_dir:
        place = str(asked.config_dir.resolve()).replace("\\", "\\\\").replace("'", "\\'")
        first.append(f"hydra.searchpath=['file://{place}']")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", [*first, *words], return_hydra_config=True)
    stored = {key: cfg["data"][key] for key in cfg["data"] if key not in typed} if own else {}
    fresh = OmegaConf.masked_copy(composed.data, [key for key in composed.data if key not in stored])
    data: Any = stored | OmegaConf.to_container(fresh, resolve=True)  # type: ignore[operator]  # "${...}" stored is a text
    option = cfg["choices"]["data"] if own else composed.hydra.runtime.choices["data"]
    if not own:
        shape = cfg["facts"]["input_shape"]
        sizes = {"block_size": shape[0], "image_size": shape[-1]}
        data |= {key: size for key, size in sizes.items() if key in data and key not in typed}
    check_target("data", data, PROVIDED["data"])
    useless = sorted(typed & TRAINING.keys())
    if useless:
        raise UserError(f"data.{useless[0]} shapes training alone, and only the test split is read: leave it out")
    return data | {key: value for key, value in TRAINING.items() if key in data}, option
