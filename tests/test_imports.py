"""Who may import whom, read from the sources."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# package -> what its modules may import besides the standard library; a name stands for all below it
RULES = {
    "system": {
        "numpy",
        "yaml",
        "torch",
        "torchvision",
        "psutil",
        "src.config.errors",
        "src.names",
        "src.package",
        "src.system",
    },
    "folder": {
        "yaml",
        "src.config.errors",
        "src.folder",
        "src.metrics.columns",
        "src.metrics.families",
        "src.names",
        "src.system",
    },
    "losses": {"torch", "yaml", "src.checks", "src.losses", "src.losses.base", "src.names", "src.package"},
    "models": {
        *("torch", "torchvision"),
        *("src.checks", "src.models.base", "src.models.transformer", "src.system.torchvision_cpu"),
    },
    "metrics": {"torch", "torchmetrics", "scipy", "src.checks", "src.metrics", "src.system.torchvision_cpu"},
    "data": {
        *("torch", "torchvision", "numpy", "PIL", "safetensors", "src.checks", "src.config.errors", "src.system"),
        *(f"src.data.{name}" for name in ("base", "cache", "content", "decoding", "digits", "encoded")),
        *(f"src.data.{name}" for name in ("images", "labels", "line_labels", "lines")),
        *(f"src.data.{name}" for name in ("listing", "mixing", "official", "pixels", "resident", "splits", "values")),
    },
    "tasks": {
        "matplotlib",
        "torch",
        "pytorch_lightning",
        "src.data.base",
        "src.figures",
        "src.checks",
        "src.losses.adversarial",
        "src.losses.alignment",
        "src.losses.base",
        "src.losses.diffusion",
        "src.losses.latent",
        "src.losses.pairs",
        "src.losses.regression",
        "src.losses.towers",
        "src.metrics",
        "src.optim",
        "src.data.views",
        "src.models.base",
        "src.models.projected",
        "src.ranks.gather",
        "src.tasks",
    },
    "optim": {"torch", "src.checks", "src.optim"},
    "config": {"hydra", "omegaconf", "yaml", "src.checks", "src.config", "src.names", "src.package"},
    "figures": {"numpy", "matplotlib", "PIL", "torch", "src.data.base", "src.figures", "src.system"},
    "ranks": {
        *("torch", "pytorch_lightning", "lightning_fabric"),
        *("src.config.errors", "src.config.trust", "src.data.base", "src.ranks", "src.system"),
    },
    "callbacks": {
        *("numpy", "pytorch_lightning", "lightning_fabric", "tensorboard", "torch", "tqdm"),
        *("src.callbacks", "src.config.errors", "src.data.alphabet", "src.data.base", "src.folder", "src.metrics"),
        *("src.ranks.ranks", "src.system", "src.tasks"),
    },
    "runs": {
        *(
            "numpy",
            "pytorch_lightning",
            "lightning_fabric",
            "safetensors",
            "torch",
            "tqdm",
            "psutil",
            "wandb",
            "mlflow",
        ),
        *(
            "src.callbacks",
            "src.checks",
            "src.config",
            "src.data.base",
            "src.data.alphabet",
            "src.figures",
            "src.folder",
        ),
        *(
            "src.data.cache",
            "src.losses.base",
            "src.metrics",
            "src.models.base",
            "src.names",
            "src.optim",
            "src.package",
            "src.ranks",
            "src.runs",
        ),
        *("src.system", "src.tasks", "src.__version__"),
    },
    "report": {
        *("numpy", "scipy", "matplotlib", "PIL", "yaml", "jinja2", "markupsafe", "tensorboard"),
        *("src.checks", "src.config.errors", "src.figures", "src.folder", "src.names", "src.package", "src.report"),
        *("src.metrics.claims", "src.metrics.columns", "src.metrics.margins", "src.system.files"),
    },
    "tune": {
        *("hydra", "omegaconf", "optuna", "sqlalchemy"),
        *("src.config", "src.folder", "src.metrics.columns", "src.metrics.families", "src.names", "src.package"),
        "src.sweep",
        *("src.system.files", "src.tune"),
    },
    "sweep": {
        *("hydra", "omegaconf", "src.checks", "src.config", "src.folder", "src.names", "src.package", "src.sweep"),
        *(f"src.metrics.{name}" for name in ("claims", "columns", "families", "margins")),
        *("src.report", "src.system"),
    },
}
EVERYWHERE = {"src.plain"}
# modules that are no particular loss, network or data set
SHARED = {
    *(
        "alignment",
        "alphabet",
        "base",
        "cache",
        "content",
        "diffusion",
        "decoding",
        "encoded",
        "images",
        "labels",
        "line_labels",
        "lines",
        "listing",
        "mixing",
        "official",
    ),
    *(
        "adversarial",
        "latent",
        "pairs",
        "pixels",
        "projected",
        "regression",
        "resident",
        "shift",
        "splits",
        "towers",
        "transformer",
        "views",
    ),
}
FILES = sorted((ROOT / "src").rglob("*.py"))
RULED = [path for path in FILES if path.relative_to(ROOT / "src").parts[0] in RULES]
# A command's faults are told before torch is imported, and a report opens where there is none.
LIGHT = [
    *(
        *sorted((ROOT / "src/commands").glob("*.py")),
        *(ROOT / f"src/{name}.py" for name in ("package", "names", "plain")),
    ),
    *(path for path in FILES if path.parent.name in ("config", "report", "sweep", "tune")),
]
HEAVY = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning_fabric", "tensorboard"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """The dotted names that a file imports; ``at_import``: without those inside functions."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # "from ..config import trust" in src/runs/run.py is of src.config
                package = path.relative_to(ROOT).parent.parts[: -node.level + 1 or None]
                module = ".".join([*package, *filter(None, [node.module])])
            inner = [f"{module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if file_of(name)]  # "from . import build"
            yield from inner if module == "src" else modules or [module]
        elif not (at_import and (isinstance(node, ast.FunctionDef) or is_for_types(node))):
            nodes = [*ast.iter_child_nodes(node), *nodes]


def is_for_types(node: ast.AST) -> bool:
    """Whether only a type checker reads it."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return path if module.startswith("src.") and path.exists() else None


def allowed(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("path", RULED, ids=name_of)
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    names = RULES[path.relative_to(ROOT / "src").parts[0]] | EVERYWHERE
    foreign = [name for name in imports(path) if name.split(".")[0] not in sys.stdlib_module_names]
    assert [name for name in foreign if not allowed(name, names)] == []


@pytest.mark.parametrize("package", ["losses", "models", "data", "metrics"])
def test_nothing_of_a_leaf_reaches_another_leaf(package: str) -> None:
    """Also through other modules."""
    others = {
        f"src.{name}" for name in ("losses", "models", "data", "metrics", "tasks", "callbacks") if name != package
    }
    for path in (ROOT / "src" / package).glob("*.py"):
        assert [name for name in reached(path) if allowed(name, others)] == [], path


@pytest.mark.parametrize("path", LIGHT, ids=name_of)
def test_nothing_light_reaches_torch(path: Path) -> None:
    assert [name for name in reached(path) if allowed(name, HEAVY)] == []


def test_what_is_reached_is_found() -> None:
    assert {"src.config.check", "src.config.signature", "hydra.errors", "ast"} <= reached(ROOT / "src/sweep/plugin.py")
    assert {"src.runs.fit", "src.callbacks.guard", "torch"} <= reached(ROOT / "src/runs/run.py")


def reached(start: Path) -> set[str]:
    """All modules that importing a file imports, through the project's own."""
    names: set[str] = set()
    files = [start]
    while files:
        for name in imports(files.pop(), at_import=True):
            if name not in names and (own := file_of(name)):
                files.append(own)
            names.add(name)
    return names


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name in ("data", "metrics", "models")], ids=name_of
)
def test_leaves_can_be_imported_beside_a_torch_without_cuda(path: Path) -> None:
    """torchvision dies there unless src.system.torchvision_cpu came first; torchmetrics imports torchvision."""
    names = list(imports(path))
    for name in ("torchvision", "torchmetrics"):
        needs = [i for i, module in enumerate(names) if allowed(module, {name})]
        if needs:
            assert "src.system.torchvision_cpu" in names[: needs[0]]


def test_only_run_brings_losses_models_and_data_together() -> None:
    """Nobody asks for a particular loss, network or data set: these come from the configuration."""
    particular = {
        f"src.{package}.{path.stem}"
        for package in ("losses", "models", "data")
        for path in (ROOT / "src" / package).glob("*.py")
        if path.stem not in SHARED
    }
    assert len(particular) > 20
    for path in FILES:
        if path.parent.name not in ("losses", "models", "data"):
            assert [name for name in imports(path) if name in particular] == [], path


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_tree_names_itself_by_relative_imports_alone(path: Path) -> None:
    """So that it serves as ``src``, from its root, and as the installed package ``xent``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert [name for name in names if name.split(".")[0] == "src"] == []


def test_packages_import_nothing_before_they_are_asked() -> None:
    """What they offer by name, they fetch by ``__getattr__``."""
    for path in FILES:
        if path.name == "__init__.py":
            own = [name for name in imports(path, at_import=True) if name.split(".")[0] not in sys.stdlib_module_names]
            assert {*own} <= {"src.names", "src.package"}, path


@pytest.mark.slow
def test_no_module_holds_a_tensor_of_the_device_that_it_was_imported_under() -> None:
    """Networks are measured under torch's device without memory, and a module may be imported there first."""
    names = [name_of(path).removesuffix(".py").replace("/", ".") for path in FILES if "commands" not in path.parts]
    code = f"""
import importlib, torch
from src.system import torchvision_cpu
with torch.device("meta"):
    modules = [importlib.import_module(name.removesuffix(".__init__")) for name in {names}]
for module in modules:
    found = [name for name, value in vars(module).items() if isinstance(value, torch.Tensor) and value.is_meta]
    assert not found, (module.__name__, found)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
