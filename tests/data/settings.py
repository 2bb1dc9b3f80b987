"""The settings of image data sets at their defaults, from the YAML that holds them."""

from typing import Any

from omegaconf import OmegaConf

from tests.conftest import ROOT


def image_settings(**changes: Any) -> dict[str, Any]:
    """What conf/data/defaults/images.yaml says, but for ``changes``."""
    settings = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/data/defaults/images.yaml"))
    assert isinstance(settings, dict) and settings.keys() >= changes.keys()
    return {**settings, **changes}  # type: ignore[dict-item]
