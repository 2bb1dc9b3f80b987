"""A folder of somebody else's, in which whatever of it is imported or called leaves a mark."""

from pathlib import Path

NAMES = ("src", "xent", "hydra_plugins", "torch", "numpy", "yaml", "omegaconf", "train", "json", "own")


class Foreign:
    """Has packages of the project's and its libraries' names. ``mark`` is there once any of it ran."""

    def __init__(self, path: Path) -> None:
        self.path, self.mark = path, path / "mark"
        leave = f"open({str(self.mark)!r}, 'w').close()\n"
        for name in NAMES:
            package = path / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(leave)
        for module in ("src/runs/follow", "src/sweep/start", "hydra_plugins/foreign"):
            (path / module).parent.mkdir(exist_ok=True)
            (path / f"{module}.py").write_text(f"{leave}def main(*words): pass\n")
        (path / "sitecustomize.py").write_text(leave)

    def ran(self) -> bool:
        return self.mark.exists()
