"""What a run trained on, and with."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from .. import __version__
from ..config.errors import UserError
from ..config.loggers import check_installed
from ..package import FOLDER
from ..plain import Plain

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
EMULATED = "bfloat16 is emulated here, many times as slow as float32"
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "hydra-core")


def resolve_device(trainer: Plain) -> str:
    """ "gpu" or "cpu", as the settings say or as the machine has it. Raises UserError where there is no GPU."""
    available = torch.cuda.is_available()
    if trainer["accelerator"] == "gpu" and not available:
        raise UserError("trainer.accelerator=gpu: torch sees no GPU here; take trainer=cpu or trainer=auto")
    device = "gpu" if available and trainer["accelerator"] != "cpu" else "cpu"
    if device == "cpu" and trainer["strategy"] == "fsdp":
        raise UserError("trainer=fsdp needs GPUs, and here is none (or trainer.accelerator=cpu); take trainer=ddp")
    # on a CPU a few more ranks than cores still show whether something works
    most = torch.cuda.device_count() if device == "gpu" else max(8, os.cpu_count() or 1)
    if trainer["devices"] > most:
        what = "the GPUs of this machine" if device == "gpu" else "what this CPU can bear"
        raise UserError(f"trainer.devices must be <= {most}, {what}, got {trainer['devices']}")
    return device


def keep_memory() -> None:
    """Have malloc keep what is freed, up to 1 GiB, for the next step, which asks for the same again.

    Otherwise glibc may give it back to the system after each step and take it anew, a page fault for every 4 KiB. How
    often it does hangs on how the heap happens to lie: equal gpt runs had 0 to 1,400 faults a step.
    """
    with contextlib.suppress(AttributeError, OSError):  # where the C library is not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes


def repeat_exactly(device: str) -> None:
    """Have a GPU give the same bits each time, wherever torch has a kernel that does; it has none for CTC's gradients.

    A CPU's kernels all do. Attention needs more than this (src/tasks/stepping.py).
    """
    if device == "gpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when matrices are first multiplied
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def set_threads(trainer: Plain) -> int:
    """Set torch's CPU threads; how many they are. By default the ranks of a node share its cores."""
    threads: int = trainer["threads"] or max(1, len(os.sched_getaffinity(0)) // trainer["devices"])
    # the call itself turns MKL's dynamic threading off, and then each small product inside of attention's parallel
    # loop opens a parallel region of its own, of one thread
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    if trainer["strategy"]:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # or Lightning sets another number
    return threads


def has_bfloat16(device: str) -> bool:
    """Whether the device itself computes in bfloat16, so that nothing is emulated."""
    if device == "gpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # to torch every processor with AVX-512 is fit for it; and oneDNN, which computes, may be kept from what there is
    can = torch.cpu.get_capabilities()
    native = any(can.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))  # Intel, Intel and AMD, ARM
    computing: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return native and computing and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def has_compiler(device: str) -> bool:
    """Whether torch.compile has what it needs: on a CPU, a C++ compiler."""
    return device == "gpu" or bool(os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++"))


def check_extras(cfg: Plain, device: str) -> None:
    """Raise UserError for a setting that needs something this machine lacks."""
    if cfg["compile"] not in (False, "auto") and not has_compiler(device):
        raise UserError(
            f"compile={str(cfg['compile']).lower()} needs a C++ compiler on a CPU, and there is none: install g++, or"
            " take compile=false"
        )
    check_installed(cfg["logger"])
    if cfg["trainer"]["precision"] == "16-mixed" and device == "cpu":
        raise UserError("trainer.precision=16-mixed needs a GPU; on a CPU take bf16-mixed or 32-true")


def describe(device: str, threads: int) -> Plain:
    """Device, versions and commit, for the result."""
    return {
        "device": name_of(device),
        "threads": threads,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit(),
    }


def name_of(device: str) -> str:
    return f"{device}: {torch.cuda.get_device_name() if device == 'gpu' else processor()}"


def processor() -> str:
    """The CPU's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The project's git commit, with "+" where files differ from it; where it has none, its version: "xent 0.2.0"."""
    root, version = FOLDER.parent, f"xent {__version__}"
    if not (root / ".git").exists():  # installed; a repository around the environment is somebody else's
        return version
    # of this tree, whatever repository the environment names (as in a git hook), and without a program that it may name
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    # and without writing to it: what ends git on the way, such as a full disk, would leave a lock behind
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]

    def git(*words: str) -> str:
        ended = subprocess.run(
            [*command, *words], cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=10
        )
        return ended.stdout

    try:
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return version
