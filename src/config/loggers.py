"""Who draws a run's curves, besides metrics.csv, which is always written."""

import importlib.metadata

from .errors import UserError

EXTRAS = {"wandb": ("wandb",), "mlflow": ("mlflow", "mlflow-skinny")}  # logger -> packages, one of which it needs


def chosen(logger: str | list[str] | None) -> list[str]:
    """The names that ``logger=`` gives: one, several, or none (null, [] and csv)."""
    names = [logger] if isinstance(logger, str) else logger or []
    return [name for name in dict.fromkeys(names) if name != "csv"]


def check_installed(logger: str | list[str] | None) -> None:
    """Raise UserError where the package of a logger is missing."""
    for name in chosen(logger):
        packages = EXTRAS.get(name)
        if packages and not any(map(is_installed, packages)):
            raise UserError(
                f"logger={name} needs the package {packages[0]}: pip install {packages[0]}, or take logger=tensorboard"
            )


def is_installed(package: str) -> bool:
    """By its record: a folder wandb/ where the command is given would pass for a module."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
