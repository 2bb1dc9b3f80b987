"""From a fault to one message."""

import dataclasses
import re
import sys
from pathlib import Path

import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ..names import called
from ..package import CONF
from .check import PROVIDED
from .errors import UserError, first_line, suggestion
from .schema import TrainerConf, keys_below
from .words import parsed

# What a launcher is found by, and what installs it; without a bound pip takes a pre-release of Hydra.
LAUNCHERS = {
    "submitit": "'hydra-submitit-launcher>=1.2,<2'",
    "ray": "'hydra-ray-launcher>=1.2.2,<2' 'ray>=2.60,<3'",
}


def message(error: BaseException) -> tuple[str, int]:
    """What ended a command, in a user's words, and the exit status that it gives."""
    match error:
        case UserError():
            return str(error), 2
        case HydraException() | OmegaConfBaseException():
            return of_hydra(error), 2
        case yaml.YAMLError():
            return of_yaml(error), 2
        case UnicodeDecodeError():
            return f"{undecodable()} is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}", 2
        case MemoryError():
            return "there is not enough memory; take smaller sizes (model.*, data.batch_size)", 1
        case RecursionError():
            return "brackets, or files of options, are nested too deeply to be read", 2
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}", 2
        case FileNotFoundError():  # of os.getcwd()
            return "the current folder is not there any more; change to another (cd)", 2
        case OSError():
            return f"what was to be shown, or written, could not be: {error.strerror or error}", 2
        case RuntimeError() if "home directory" in str(error):  # of Path.expanduser()
            return "'~' names a home folder that is not there; write the whole path", 2
    return f"a fault of xent itself, {type(error).__name__}: {first_line(error)} (XENT_DEBUG=1 shows where)", 1


def undecodable() -> str:
    """Which option file it is that cannot be decoded."""
    folder = Path(parsed(sys.argv[1:]).config_dir or CONF)
    for path in sorted(folder.rglob("*.yaml")):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return str(path)
    return "a file"


def of_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"{mark.name}, line {mark.line + 1}: {error.problem or error.context}"  # type: ignore[attr-defined]
    return f"{getattr(error, 'name', 'a file of options')} is no YAML: {first_line(error)}"


def of_hydra(error: Exception) -> str:
    """An exception of Hydra's or OmegaConf's in a user's words."""
    causes = (
        error.__cause__,
        error.__context__,
    )  # Hydra sets the one on the command line's faults, the other on YAMLs'
    cause = next((cause for cause in causes if isinstance(cause, OmegaConfBaseException)), error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        return _unparsed(error.override or "")
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _bad_key(cause) + _place(error)
    if "Ambiguous value" in str(error):
        word = str(error).split("'")[1]
        return f"several values for one run: {word}. With -m each becomes a run: {called('train')} -m {word}"
    if isinstance(error, ConfigCompositionException):
        return _unmatched(error)
    return first_line(error)


def _unparsed(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and not re.fullmatch(r"[+~]*\w+([./@-]\w+)*", key):
        return f"'{key}' is no key; a word is key=value, without spaces, as in loss.gamma=3"
    if equals and value:
        return f"the value of {key} has characters that need quotes of their own: \"{key}='{value}'\""
    hint = _as_option(key) or f" A word is key=value, without spaces; {called('train')} --help lists the keys."
    return f"'{word}' is not of the form key=value.{hint}"


def _missing_option(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or [])
    if group == "hydra/launcher" and (packages := LAUNCHERS.get(name.partition("_")[0])):
        return f"{group}={name} needs packages that are not installed: pip install {packages} 'hydra-core>=1.3.2,<1.4'"
    return f"unknown {group} '{name}'.{suggestion(name, options)} Options: {', '.join(options)}"


def _bad_key(cause: OmegaConfBaseException) -> str:
    key = cause.full_key or ""
    parent = cause.parent_node
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):  # there is no such key
        keys = map(str, parent) if isinstance(parent, DictConfig) else []
        siblings = [key for key in keys if key not in ("_target_", "hydra")]
        prefix, _, name = key.rpartition(".")
        place = f"in {prefix}" if prefix else "at the top level"
        nearest = suggestion(name, siblings) or _elsewhere(name)
        return f"unknown key '{name}' {place}.{nearest} Valid: {', '.join(siblings) or 'none'}"
    if nested := keys_below(key):
        return f"{key} takes no value; its keys are {', '.join(f'{key}.{name}' for name in nested)}"
    return f"{key}: {first_line(cause)}"


def _unmatched(error: Exception) -> str:
    """Hydra found no place for an override; say what was probably meant."""
    text = first_line(error)
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
