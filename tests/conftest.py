"""What every test needs first: torchvision's operators, one thread, so that two workers share two cores, and time."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

import src.system.torchvision_cpu  # noqa: F401  before anything that imports torchvision

torch.set_num_threads(1)
# A slow machine is no fault of a property. The examples are the same each time, so that what passed once passes again;
# pytest --hypothesis-profile=default searches for new ones.
settings.register_profile("xent", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xent")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that XENT_DATA names; tests that need it are skipped where it is not set."""
    folder = os.environ.get("XENT_DATA")
    if not folder:
        pytest.skip("XENT_DATA names no folder with the real data sets")
    return Path(folder)
