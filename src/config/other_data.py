"""The data that a command of evaluate.py names, in place of a run's own."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ..package import CONF
from ..plain import Plain
from . import schema
from .check import PROVIDED, check_target
from .errors import UserError
from .evaluation import Asked
from .fit import TARGETS, check_pixels, unfit_targets

# Keys of data that shape training alone, and the value of each that leaves the data as they are.
TRAINING: Plain = {
    **{"batch_size": 1, "train_examples": None, "pad": 0, "flip": False, "cutout": 0, "mixup": None},
    **{
        "train_lines": 1,
        "train_strips": 1,
        "mixup_alpha": 1.0,
        "label_noise": 0.0,
        "target_noise": 0.0,
        "imbalance": None,
        "without": [],
    },
}
OWN_DATA = "of_the_run"  # the name under which Hydra knows the run's own data


def other_data(asked: Asked, cfg: Plain) -> tuple[Plain, str]:
    """The configuration of the data that a command names, by Hydra, and the option; the run's where there is none.

    Blocks and images keep the run's size, and pixels are binarised if its are, unless a word says otherwise. Raises
    UserError and Hydra's exceptions.
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
        same = {"block_size": shape[0], "image_size": shape[-1], "height": shape[-2:][0], "width": shape[-1]}
        same["binarise"] = cfg["data"].get("binarise")
        data |= {key: value for key, value in same.items() if key in data and key not in typed}
    check_target("data", data, PROVIDED["data"])
    check_pixels({"data": data, "loss": cfg["loss"]}, cfg["choices"] | {"data": option})
    if unfit := unfit_targets({"data": data, "loss": cfg["loss"]}):
        gives, wants = unfit
        raise UserError(f"data={option} gives {TARGETS[gives]}, this run predicts {TARGETS[wants]}")
    useless = sorted(typed & TRAINING.keys())
    if useless:
        raise UserError(f"data.{useless[0]} shapes training alone, and only the test split is read: leave it out")
    return data | {key: value for key, value in TRAINING.items() if key in data}, option
