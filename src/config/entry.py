"""From a command line to a checked configuration, and from a fault to one message and an exit status.

Status: 0 done, 1 the run failed, 2 a mistake in the command, 130 Ctrl-C, 143 SIGTERM.
"""

import dataclasses
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config import trust
from src.config.check import PROVIDED, Plain, check, take_as_typed
from src.config.errors import UserError, printable, suggestion
from src.config.schema import TrainerConf, keys_below
from src.config.words import GROUPS, texts

CONF = Path(__file__).resolve().parents[2] / "conf"


def resolve(cfg: DictConfig, typed: Iterable[str] = ()) -> Plain:
    """What the words ``typed`` were composed to as plain containers, checked. Raises UserError."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    plain.pop("ablation", None)  # which other runs there are says nothing of this one
    take_as_typed(plain, texts(typed))
    trust.name(trust.targets_of(plain))
    if not plain["resume"]:  # else the run's folder has the configuration
        check(plain)
    return plain


@dataclass(frozen=True)
class Command:
    """What a command line says: the composed configuration, the option chosen in each group, and the words typed."""

    cfg: DictConfig
    choices: dict[str, str | None]
    typed: list[str]


def command(cfg: DictConfig) -> Command:
    """Inside Hydra: keep what is lost when it returns."""
    hydra = HydraConfig.get()
    for source in hydra.runtime.config_sources:
        if source.schema == "file" and Path(source.path) != CONF:  # --config-dir, or the like
            trust.name(trust.targets_below(Path(source.path)))
    return Command(cfg, chosen(hydra.runtime.choices), list(hydra.overrides.task))


def chosen(choices: Mapping[str, str | None]) -> dict[str, str | None]:
    """The option of each of our groups; None where there is none."""
    return {group: None if choices.get(group) in (None, "null") else choices[group] for group in GROUPS}


def guarded(main: Callable[[], int]) -> int:
    """Run ``main`` and return its exit status; a user's mistake becomes one message on stderr and 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing in its own way
    # Read when torch is imported. By default a thread spins long for one whose core is busy, and so wastes its own. The
    # default run took, on two idle cores, 3.6 s (4.0 s with this, 6.6 s with OMP_WAIT_POLICY=PASSIVE), and beside two
    # other busy processes 11 s with this (116 s without, on a machine about as busy).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read stdout has gone (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the interpreter's last flush fail
        return 0
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("XENT_DEBUG") == "1":
            traceback.print_exc()
        if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
            # rank 0 says the same, unless whoever started the ranks ends it first because this one ended; on a busy
            # machine its imports may take this much longer
            time.sleep(30)
            return 2
        print(f"xent: {printable(message(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def message(error: Exception) -> str:
    """An exception of ours, Hydra's or OmegaConf's in a user's words."""
    causes = (
        error.__cause__,
        error.__context__,
    )  # Hydra sets the one on the command line's faults, the other on YAMLs'
    cause = next((cause for cause in causes if isinstance(cause, OmegaConfBaseException)), error)
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        return _unparsed(error.override or "")
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _bad_key(cause) + _place(error)
    if "Ambiguous value" in str(error):
        word = str(error).split("'")[1]
        return f"several values for one run: {word}. With -m each becomes a run: python train.py -m {word}"
    if isinstance(error, ConfigCompositionException):
        return _unmatched(error)
    return _first_line(error)


def _unparsed(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and value:
        return f"the value of {key} has characters that need quotes of their own: \"{key}='{value}'\""
    hint = _as_option(key) or " A word is key=value, without spaces; python train.py --help lists the keys."
    return f"'{word}' is not of the form key=value.{hint}"


def _missing_option(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or [])
    return f"unknown {group} '{name}'.{suggestion(name, options)} Options: {', '.join(options)}"


def _bad_key(cause: OmegaConfBaseException) -> str:
    key = cause.full_key or ""
    parent = cause.parent_node
    if "not in struct" in str(cause) or "not in '" in str(cause):
        keys = map(str, parent) if isinstance(parent, DictConfig) else []
        siblings = [key for key in keys if key not in ("_target_", "hydra")]
        prefix, _, name = key.rpartition(".")
        place = f"in {prefix}" if prefix else "at the top level"
        nearest = suggestion(name, siblings) or _elsewhere(name)
        return f"unknown key '{name}' {place}.{nearest} Valid: {', '.join(siblings) or 'none'}"
    if nested := keys_below(key):
        return f"{key} takes no value; its keys are {', '.join(f'{key}.{name}' for name in nested)}"
    return f"{key}: {_first_line(cause)}"


def _unmatched(error: Exception) -> str:
    """Hydra found no place for an override; say what was probably meant."""
    text = _first_line(error)
    if "Could not override '" in text:
        key = text.split("'")[1]
        groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
        near = suggestion(key, groups) or _elsewhere(key)
        return f"unknown key or group '{key}'.{near} Groups: {', '.join(groups)}"
    return text


def _elsewhere(name: str) -> str:
    """Which options have a key of this name: lr is optimizer.lr."""
    owners = [
        f"{path.parent.name}={path.stem}"
        for path in sorted(CONF.glob("*/*.yaml"))
        if path.parent.name in PROVIDED and re.search(rf"^{re.escape(name)}:", path.read_text(), re.MULTILINE)
    ]
    if not owners:
        trainer = [field.name for field in dataclasses.fields(TrainerConf)]
        near = suggestion(name, trainer) or next((f" Did you mean {key}?" for key in trainer if name in key), "")
        return near.replace("mean ", "mean trainer.")
    group = owners[0].partition("=")[0]
    return f" {group}.{name} is a key of {', '.join(owner for owner in owners if owner.startswith(group))}."


def _as_option(word: str | None) -> str:
    """ " Did you mean data=cifar10?" for a bare option name."""
    found = [f"{path.parent.name}={path.stem}" for path in sorted(CONF.glob("*/*.yaml")) if path.stem == word]
    return f" Did you mean {found[0]}?" if found else ""


def _place(error: Exception) -> str:
    """Which YAML file set it, if Hydra says so."""
    text = str(error)
    return f" (in conf/{text.split(chr(39))[1]}.yaml)" if text.startswith("In '") else ""


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
