"""What ``xent evaluate RUN_FOLDER key=value ...`` asks, read before torch is imported. Faults are UserErrors."""

import hashlib
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from ..checks import choice, integer
from ..names import called
from ..plain import Plain
from . import trust
from .errors import UserError, suggestion
from .sampling import SAMPLING, sampling
from .signature import constant
from .words import check_once, key_of

KINDS = ("noise", "blur", "contrast", "rotate")  # the corruptions of src/data/shift.py
SEVERITIES = (1, 2, 3, 4, 5)
FORMATS = ("onnx", "torch")
ONNX = ("onnx", "onnxscript", "onnxruntime")  # packages of the extra
OWN = ("predict", "export", "shift", "severity", *SAMPLING)
COMMAND = called("evaluate")
USAGE = f"""Test a finished run again, or use its trained network. It takes nothing but the run's folder:

  {COMMAND} RUN_FOLDER [WORDS]

  (no words)                repeat the run's own test
  data=OPTION data.KEY=...  test on other data, or with other settings of the run's own data
  shift=KIND [severity=1]   test on images made worse: {", ".join(KINDS)};
                            several kinds: shift=[noise,blur], or shift=all
  predict=FOLDER            classify new images, those of a folder and of all folders in it, or one image file;
                            writes a CSV with the class and the calibrated probabilities of each
  predict=FILE.txt          language runs: score each line of a text; writes a CSV with nll and perplexity
  sample=500 [prompt="ROMEO:"] [temperature=0.8] [top_k=40] [count=3] [seed=1]
                            runs that make text: write 500 characters
  sample=64 [temperature=0.8] [seed=1]
                            runs that make images: draw 64 of them, as one PNG file
  export=onnx               write the network to a file that runs without xent, with onnxruntime
                            (needs: pip install {" ".join(ONNX)})
  export=torch              the same, for torch.export.load
  --config-dir DIR          if the run's loss, model or data are your own: DIR holds the option files that name
                            them; or type loss._target_=own.Loss

Results go to RUN_FOLDER/evaluations/, exported networks to RUN_FOLDER/export/; nothing else in it changes."""


@dataclass(frozen=True)
class Asked:
    """A command: the run's folder, and what to do with it. At most one of predict, export, sample and shift is set."""

    folder: Path
    words: tuple[str, ...]
    data: tuple[str, ...]
    own: tuple[str, ...] = ()  # words that name classes of the user's own, which the run has
    config_dir: Path | None = None  # where the user's own options are
    shift: tuple[str, ...] = ()
    severities: tuple[int, ...] = SEVERITIES
    predict: Path | None = None  # a folder or file
    export: str | None = None  # of FORMATS
    sample: Plain | None = None  # the settings of SAMPLING that were typed

    @property
    def name(self) -> str:
        """The name of its files: "test", "shift_noise", "fashion_mnist"; a hash where the words do not fit a name."""
        if self.predict:  # another place is another file
            short = re.sub(r"[^\w.+-]+", "_", self.predict.name)[:40].strip("_-.")
            place = hashlib.sha256(os.fsencode(self.predict.resolve())).hexdigest()[:8]
            return "-".join(filter(None, ("predict", short, place)))
        parts = [*self.data, *(f"{key}{value}" for key, value in sorted((self.sample or {}).items()))]
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
        aim = wanted(data, typed)
    except ValueError as error:
        raise UserError(str(error)) from None
    return Asked(Path(folder).expanduser(), tuple(words), data, own, config_dir, **aim)


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
    replaced = (
        asked.sample is not None or asked.predict is not None or any(key_of(word) == "data" for word in asked.data)
    )
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
    if key == "predict":  # a name as it is typed, whatever is in it
        return key, value
    if key == "prompt":  # a text as it is typed, but for breaks
        breaks = {"n": "\n", "t": "\t", "\\": "\\"}
        return key, re.sub(r"\\([nt\\])", lambda found: breaks[found[1]], value)
    (parsed,) = OverridesParser.create().parse_overrides([word])
    if parsed.is_sweep_override():
        several = f": several are shift=[{value}]" if key == "shift" else ""
        raise UserError(f"{word}: one command takes one value{several}")
    return key, parsed.value()


def wanted(data: tuple[str, ...], typed: Plain) -> Plain:
    """What a command wants, as fields of ``Asked``. Raises UserError and ValueError."""
    if set(typed) & {*SAMPLING}:
        return {"sample": sampling(data, typed)}
    for key, doing in (("predict", "reads new files"), ("export", "writes the run's network")):
        odd = [*data, *(other for other in typed if other != key)]
        if key in typed and odd:
            raise UserError(f"{key}= {doing} and does nothing else: leave out {odd[0]}")
    if "predict" in typed:
        if not typed["predict"]:
            raise UserError("predict= has no value: name a folder of images, an image file, or a text file")
        return {"predict": Path(typed["predict"]).expanduser()}
    if "export" in typed:
        return {"export": choice("export", typed["export"], FORMATS)}
    return testing(typed)


def testing(typed: Plain) -> Plain:
    """The corruptions of a command that asks for a test. Raises UserError and ValueError."""
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
    return {"shift": tuple(dict.fromkeys(kinds)), "severities": severities}


def check_learnt(asked: Asked, cfg: Plain) -> None:
    """Raise UserError for what cannot be done with what the run has learnt."""
    if asked.shift and cfg["data"].get("binarise"):
        raise UserError(
            f"shift={asked.shift[0]} makes images worse, and their pixels grey: this run reads pixels that are 0 or 1"
            f" (data.binarise={cfg['data']['binarise']})"
        )
    if "rotate" in asked.shift and cfg["facts"].get("targets") == "value":
        raise UserError("shift=rotate may turn what this run predicts: take shift=[noise,blur,contrast]")
    if (asked.predict or asked.export) and not learns_classes(cfg):
        word = f"predict={asked.predict}" if asked.predict else f"export={asked.export}"
        raise UserError(f"{word} is for runs that learn classes, and loss={cfg['choices']['loss']} does not")


def learns_classes(cfg: Plain) -> bool:
    """Whether a stored run's network gives the logits of classes."""
    targets = cfg["facts"].get("targets", "class")
    return targets in ("class", "distribution") and constant(cfg["loss"]["_target_"], "reads") in (None, "logits")


def check_kind(asked: Asked, kind: str) -> None:
    """Raise UserError for what cannot be done with the run's kind of data: image, text, ..."""
    if asked.shift and kind != "image":
        raise UserError(f"shift={asked.shift[0]} makes images worse, and this run reads {plural(kind)}")
    if asked.export == "onnx":
        lacking = next((name for name in ONNX if importlib.util.find_spec(name) is None), None)
        if lacking:
            raise UserError(
                f"export=onnx needs the package {lacking}: pip install {' '.join(ONNX)}, or take export=torch"
            )
    if asked.predict is None:
        return
    if not os.path.exists(asked.predict):  # noqa: PTH110  False where the name is too long
        raise UserError(f"predict={asked.predict}: there is no such file or folder")
    if kind == "text" and asked.predict.is_dir():
        raise UserError(f"predict={asked.predict} is a folder, and this run reads text: name one text file")


def plural(kind: str) -> str:
    """What a run of a kind of data reads."""
    return {"image": "images", "table": "tables"}.get(kind, kind)
