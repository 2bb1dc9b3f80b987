"""``pip install``: one package, its commands and its library, from a wheel and from the tree, in any folder."""

import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import src
from tests.commands import QUIET, only_run, result_of, train
from tests.conftest import ROOT
from tests.foreign import Foreign
from tests.package.conftest import Environment

Environments = Callable[[str], Environment]
NAME = f"xent-{src.__version__}.dist-info"
SMALL = (*QUIET, "data.train_examples=200", "data.batch_size=20", "model.widths=[16]", "trainer.max_steps=12")
both = pytest.mark.parametrize("kind", ["wheel", "editable"])


def test_every_folder_below_src_is_installed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    names = {"xent" if folder == "." else f"xent.{folder.replace('/', '.')}" for folder in folders}
    assert set(packages) == names | {"xent.conf"} and packages == sorted(packages)


def test_the_version_is_that_of_the_change_log_and_the_citation() -> None:
    assert f"\n## {src.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == src.__version__


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_options_alone(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(NAME)}
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    tree = {f"xent/{path.relative_to(ROOT / 'src')}" for path in files}
    assert names == tree | {f"xent/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}


@pytest.mark.slow
def test_one_name_at_the_top_level(environment: Environments, tmp_path: Path) -> None:
    assert environment("wheel").installed() == {"xent", NAME}
    for kind in ("wheel", "editable"):
        code = (
            "import importlib.util as u, sys, xent; assert 'torch' not in sys.modules; print(xent.__version__);"
            "print([name for name in ('src', 'conf', 'tests', 'train', 'losses') if u.find_spec(name)])"
        )
        assert environment(kind).run("python", "-c", code, cwd=tmp_path) == f"{src.__version__}\n[]\n"


@pytest.mark.slow
def test_the_commands_in_a_folder_with_packages_of_their_names(environment: Environments, tmp_path: Path) -> None:
    """A run of two ranks, a report and an evaluation of it; nothing of the folder is imported."""
    foreign, installed = Foreign(tmp_path / "foreign"), environment("wheel")
    here = foreign.path
    ranks = (*SMALL[:2], *SMALL[3:], "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert "run folder: runs/mnist_5k-mlp/" in installed.run("xent", "train", *ranks, cwd=here)
    assert "report: " in installed.run("xent", "report", "runs", cwd=here)
    assert "examples; temperature" in installed.run("xent", "evaluate", only_run(here / "runs"), cwd=here)
    assert "xent tune loss=focal" in installed.run("xent", "tune", "--help", cwd=here)
    assert "xent train -m" in installed.run("xent", "train", "--help", cwd=here)
    assert not foreign.ran()


@pytest.mark.slow
@both
def test_a_sweep_in_a_folder_with_packages_of_its_names(kind: str, environment: Environments, tmp_path: Path) -> None:
    """Its jobs are forked from a process that has imported this very package."""
    foreign = Foreign(tmp_path / "foreign")
    said = environment(kind).run("xent", "train", "-m", "loss=ce,focal", *SMALL, cwd=foreign.path)
    assert "compare them: xent report runs/mnist_5k-mlp" in said
    assert not foreign.ran()


LIBRARY = """
import sys, torch, xent
from xent.losses import FocalLoss, KnowledgeDistillationLoss
from xent.metrics import fit_temperature, measure, scaled
assert not {"torchvision", "torchmetrics", "pytorch_lightning", "scipy", "hydra"} & set(sys.modules)
loss, model = FocalLoss(), torch.nn.Linear(8, 3)
assert (loss.gamma, FocalLoss(gamma=3).gamma, KnowledgeDistillationLoss().alpha) == (2.0, 3.0, 0.9)
torch.manual_seed(0)
x = torch.randn(300, 8)
y = torch.multinomial((model(x).detach() * 2).softmax(-1), 1)[:, 0]
loss(model(x), y).mean().backward()
assert model.weight.grad.abs().sum() > 0
log_probs = loss.log_probs(model(x).detach() * 9)
temperature = fit_temperature(log_probs, y)
assert measure(scaled(log_probs, temperature), y)["nll"] < measure(log_probs, y)["nll"]
run = xent.load(sys.argv[1])
print(run.predict(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).sum().item())
"""


@pytest.mark.slow
@both
def test_the_library_in_a_loop_of_ones_own(kind: str, environment: Environments, tmp_path: Path) -> None:
    """Also ``load``, of a run that the tree trained."""
    assert train(*SMALL, f"runs={tmp_path}") == 0
    total = environment(kind).run("python", "-c", LIBRARY, only_run(tmp_path), cwd=tmp_path)
    assert float(total) == pytest.approx(2, abs=1e-5)


@pytest.mark.slow
def test_a_run_of_the_tree_is_a_run_of_the_wheel(environment: Environments, tmp_path: Path) -> None:
    """The same bits; each resumes and tests again what the other began."""
    installed = environment("wheel")
    here = Environment.__new__(Environment)
    here.folder = ROOT / ".venv"
    commands: dict[str, Callable[..., str]] = {
        "tree": lambda name, *words: here.run("python", ROOT / f"{name}.py", *words, cwd=tmp_path),
        "wheel": lambda name, *words: installed.run("xent", name, *words, cwd=tmp_path),
    }
    runs = {}
    for kind, command in commands.items():
        command("train", *SMALL, f"runs={kind}")
        runs[kind] = only_run(tmp_path / kind)
    one, other = runs["tree"], runs["wheel"]
    assert one.relative_to(tmp_path / "tree") == other.relative_to(tmp_path / "wheel")
    for name in ("metrics.csv", "weights.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert result_of(one)["metrics"] == result_of(other)["metrics"]
    assert result_of(other)["run"]["commit"] == f"xent {src.__version__}"
    stored = [yaml.safe_load((run / "config.yaml").read_text()) | {"runs": None} for run in (one, other)]
    assert stored[0] == stored[1] and stored[0]["loss"]["_target_"] == "src.losses.ce.CrossEntropyLoss"
    for run, command in ((one, commands["wheel"]), (other, commands["tree"])):
        metrics = result_of(run)["metrics"]
        assert "the same as in result.json, bit for bit" in command("evaluate", run)
        (run / "result.json").unlink()
        command("train", f"resume={run}")
        assert result_of(run)["metrics"] == metrics
    commands["wheel"]("report", "tree", "wheel", "out=report")
