"""Which classes may be imported. A run's folder is data: what its config.yaml names is code only if it is known.

Known are, for each group, this tree's own modules of it, torch.optim for the optimizer, the callbacks of this tree's
option files, and the targets that this process's own command line names, by words (``loss._target_=own.Loss``) or by
the option files of ``--config-dir``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..package import CONF, FOLDER
from ..plain import Plain
from .check import PROVIDED, callbacks_of, check_keys, check_target, check_values
from .errors import UserError
from .schema import Config, keys_of

# group -> the package that holds its classes, as configurations name it (src.package)
PACKAGES = {
    **{"data": "src.data", "model": "src.models", "loss": "src.losses"},
    **{"optimizer": "src.optim", "scheduler": "src.optim", "task": "src.tasks"},
}
BESIDE = ("choices", "identity", "identity_facts", "facts", "name")  # what config.yaml holds beside the configuration
SPECIAL = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")  # keys by which Hydra makes objects

_named: set[str] = set()  # by this process's command line, which it says as much of as sys.argv does


def name(targets: Iterable[object]) -> None:
    """Make known what this command line names. Never called with what a run's folder holds."""
    _named.update(target for target in targets if isinstance(target, str))


def named() -> list[str]:
    """What this command line names, for a process that it starts."""
    return sorted(_named)


def forget() -> None:
    """Know only the project's own again, as a new process does."""
    _named.clear()


def targets_of(cfg: Plain) -> list[object]:
    """The target of each group of a configuration, and of each callback."""
    found = [cfg.get(group) for group in PACKAGES]
    callbacks = cfg.get("callbacks")
    found += callbacks.values() if isinstance(callbacks, dict) else []
    return [node.get("_target_") for node in found if isinstance(node, dict)]


def targets_below(folder: Path) -> list[object]:
    """The targets that the option files of a folder of ``--config-dir`` name."""
    found: list[object] = []
    for group in (*PACKAGES, "callbacks"):
        for path in sorted((folder / group).glob("*.yaml")):
            try:
                option = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                continue  # Hydra says what is wrong with it where it is chosen
            found += targets_of({group: option})
    return found


def check_trusted(group: str, target: object) -> None:
    """Raise UserError, before anything is imported, where a group names a class that is not known."""
    group = group.partition(".")[0]  # callbacks.NAME
    if not (is_own(group, target) or (isinstance(target, str) and target in _named)):
        raise UserError(
            f"{group}._target_={str(target)[:200]} is neither the project's own for {group} nor named by this command:"
            f" not loaded. If you trust that code, name it: --config-dir DIR, where a file DIR/{group}/NAME.yaml has"
            " this _target_"
        )


def is_own(group: str, target: object) -> bool:
    """Whether ``target`` is in a module of this tree's package for the group, or in torch.optim for the optimizer.

    A callback is, if an option file of this tree names it: others may write anywhere.
    """
    if group == "callbacks":
        return target in targets_below(CONF)
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        return False
    module, _, _ = target.rpartition(".")
    package = PACKAGES[group]
    if module.startswith(f"{package}."):
        return FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py").is_file()
    return group == "optimizer" and (module == "torch.optim" or module.rpartition(".")[0] == "torch.optim")


def check_stored(place: Path, config: Plain, groups: Iterable[str] = (*PACKAGES, "callbacks")) -> None:
    """Check the configuration that a run's folder ``place`` holds, and that its ``groups`` name known classes.

    Nothing is imported. Raises UserError.
    """
    try:
        if not isinstance(config.get("choices"), dict):
            raise UserError("choices are no mapping")
        if "task" not in config:
            raise UserError("it says no task: an earlier version of xent wrote it. Use that version, or train anew")
        if not isinstance(facts := config.get("facts"), dict) or not isinstance(facts.get("kind"), str):
            raise UserError("facts, the sizes of the data, are missing or damaged")
        callbacks = callbacks_of(config)
        for path, key in special_keys(config):
            if key != "_target_" or path not in (*PACKAGES, *callbacks):
                raise UserError(f"{f'{path}.' if path else ''}{key} makes an object there, which no run of xent writes")
        nodes = {group: config.get(group) for group in groups if group != "callbacks"}
        for group, node in (nodes | (callbacks if "callbacks" in groups else {})).items():
            if isinstance(node, dict) and "_target_" in node:
                check_trusted(group, node["_target_"])
            check_target(group, node, PROVIDED.get(group, frozenset()))
        typed = {key: value for key, value in config.items() if key not in (*BESIDE, *PACKAGES)}
        full: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(keys_of(Config)), typed))
        check_keys(Config, full)
        check_values(full | {group: config.get(group) or {} for group in PACKAGES})
    except UserError as error:
        raise UserError(f"{place / 'config.yaml'}: {error}") from None
    except (ValueError, OmegaConfBaseException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{place / 'config.yaml'} is damaged, or of another version of xent: {first}") from None


def special_keys(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and name of each key, at any depth, by which Hydra makes objects."""
    if isinstance(value, dict):
        yield from ((path, key) for key in value if key in SPECIAL)
        for key, item in value.items():
            yield from special_keys(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from special_keys(item, path)


def agrees(word: str, config: Plain) -> bool:
    """Whether a word typed beside a run's folder names the class or option that its configuration has.

    Such a word changes nothing, but a class of the user's own is trusted by it.
    """
    key, _, value = word.lstrip("+").partition("=")
    group, _, below = key.partition(".")
    if group not in (*PACKAGES, "callbacks"):
        return False
    if not below:
        return value == config["choices"].get(group)
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return part == "_target_" and value == node
