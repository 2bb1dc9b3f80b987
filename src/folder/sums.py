"""Checksums of what a run wrote, in its result.json as ``run.sha256``: a bit that changed since then is noticed.

Of result.json itself it is the SHA-256 of all else in it, of config.yaml that of what can change a number.
"""

from collections.abc import Iterable
from pathlib import Path

from ..plain import Plain
from ..system.files import DamagedError, read_json, sha256_of
from .identity import digest, essence

CONFIG, RESULT = "config.yaml", "result.json"


def sums_of(result: Plain) -> Plain:
    """File name -> SHA-256; {} in a result without any."""
    sums = result.get("run", {}).get("sha256")
    return sums if isinstance(sums, dict) else {}


def sealed(result: Plain) -> Plain:
    """The result with the checksum of itself, where it has checksums."""
    sums = sums_of(result)
    if RESULT not in sums:
        return result
    bare = result | {"run": result["run"] | {"sha256": sums | {RESULT: ""}}}
    return result | {"run": result["run"] | {"sha256": sums | {RESULT: digest(bare)}}}


def with_sums(result: Plain, config: Plain | None, paths: Iterable[Path]) -> Plain:
    """The result with the checksums of itself, of a configuration and of those of the files that are there."""
    sums = {CONFIG: digest(essence(config))} if config is not None else {}
    sums |= {path.name: sha256_of(path) for path in paths if path.exists()}
    return sealed(result | {"run": {**result.get("run", {}), "sha256": {**sums, RESULT: ""}}})


def read_sealed(path: Path) -> Plain:
    """A result.json. Raises FileNotFoundError, and DamagedError where it is not as it was written."""
    result = read_json(path)
    if not isinstance(result, dict) or not isinstance(result.get("run", {}), dict):
        raise DamagedError(path, "it holds no result of a run")
    try:
        same = sums_of(sealed(result)) == sums_of(result)
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedError(path, str(error)) from None
    if not same:
        raise DamagedError(path, "its content is not that of its checksum")
    return result


def check_files(result: Plain, paths: Iterable[Path]) -> None:
    """Raise FileNotFoundError or DamagedError where a file is not what the result says that it was."""
    for path in paths:
        known = sums_of(result).get(path.name)
        if known is not None and sha256_of(path) != known:
            raise DamagedError(path, f"its content is not what the run wrote (its SHA-256 in {RESULT})")


def check_config(result: Plain, path: Path, config: Plain) -> None:
    """Raise DamagedError where ``path``, a config.yaml, holds another configuration than it did.

    Paths and other keys that change no number may differ: they can be set right by hand.
    """
    known = sums_of(result).get(CONFIG)
    if known is not None and digest(essence(config)) != known:
        raise DamagedError(path, f"it is not what the run wrote (its SHA-256 in {RESULT})")
