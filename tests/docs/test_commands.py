"""Every command of README.md, CONTRIBUTING.md and docs/ is right, and runs unless it needs a GPU, a cluster or hours.

The default tests compose the commands of the README and look every word up; the slow ones compose all, and run them in
a short form. A command that nothing here knows fails, so that none escapes.
"""

import contextlib
import functools
import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from docs.reference import page as reference
from src.commands import evaluate, report, train, tune
from src.config import evaluation, trust, until
from src.config.fit import check_fit
from src.config.guard import guarded
from src.config.words import key_of
from src.sweep.jobs import is_sweep
from src.tune.study import DEFAULTS, read
from tests.commands import laid_over
from tests.conftest import ROOT
from tests.docs.commands import PAGES, Command, command, commands, write_files
from tests.sweep.composing import composed_alone, jobs

BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
README_FIRST = [PAGES[0], *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES[1:])]  # 80 ms a command
LAUNCHER = ("hydra/launcher=", "hydra.launcher.", "+hydra.launcher.")
PINNED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PINNED["optional-dependencies"]
# what stands for something of the reader's
NOT_HERE = ("ablation=cifar10_", "ablation=mnist_students")  # they need the images, and two trained teachers
PLACES = ("RUN_FOLDER", "TEXT_RUN", "IMAGE_RUN", "JUDGE", "FOLDER", "FILE", "DATA", "HOST", "NAME")
GPU = ("XENT_TRAINER=gpu", ["python", "-m", "pytest", "tests/runs", "tests/tasks"])
SHELL = [GPU, ("source", [".venv/bin/activate"]), ("alias", ["seeds=python benchmarks/repeat.py"])]
# options of the reader's, and keys of other scripts
MINE = {"NAME", "margin", "margins", "convnet", "digits8", "norms", "queries", "scorer", "pairwise", "listwise"}
MINE |= {"duel", "logistic", "hinge_duel"}
OTHER_KEYS = {*evaluation.OWN, *report.KEYS, *DEFAULTS, *until.WORDS, "key", "group", "loss.OPTION"}
OTHER_KEYS |= {"array_parallelism"}
# a run that ends soon
SHORT = ("trainer.max_steps=2", "scheduler.warmup_steps=0", "figures=false", "samples.count=0", "trainer.threads=1")


def filled(words: Sequence[str], places: dict[str, str]) -> list[str]:
    """The words with the reader's own names in the place of RUN_FOLDER and the like."""
    if any(word.startswith("sample=") for word in words):  # of a run that makes something
        places = places | {"RUN_FOLDER": places["IMAGE_RUN"]}
    pattern = re.compile(rf"\b({'|'.join(places)})\b")
    return [pattern.sub(lambda found: places[found[0]], word) for word in words]


def without_flags(words: list[str]) -> list[str]:
    """Hydra's words without its flags; a folder of own options as the word that composes it."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("-c", "--cfg", "-p"):
            next(rest)
        elif word == "--config-dir":
            kept.append(f"hydra.searchpath=[{next(rest)}]")
        elif word not in ("-m", "--help"):
            kept.append(word)
    return kept


@functools.cache
def check_training(*words: str) -> None:
    """Words of train.py compose to what could run; those of a cluster's launcher are its own test's."""
    cluster = any(word.startswith("hydra/launcher=") for word in words)
    own = [word for word in words if not (cluster and word.startswith(LAUNCHER))]
    plain = without_flags(own)
    if is_sweep(own):
        assert {job.fault for job in jobs(*plain)} == {None}
        return
    composed = composed_alone(plain)
    if not composed.cfg["resume"]:
        check_fit(composed.cfg, composed.choices)


def check_script(script: str, words: list[str]) -> None:
    """``python SCRIPT WORDS``, without doing it."""
    if script == "train.py":
        check_training(*words)
    elif script == "evaluate.py":
        evaluation.read(words)
    elif script == "report.py":
        report.parse([word for word in words if word != "--list"])
    elif script == "tune.py":
        check_training(*(word for word in read(words).words if "(" not in word))
    else:
        assert (ROOT / script).is_file(), script
        flags = {word for word in words if word.startswith("--")}
        source = "".join(path.read_text() for path in (ROOT / script).parent.glob("*.py"))
        assert [flag for flag in flags if f'"{flag}"' not in source] == []


def script_of(one: Command, words: list[str]) -> str:
    """The script that the first word names: ``xent train`` is ``python train.py``."""
    return f"{words[0]}.py" if one.program == "xent" else words[0]


def check(one: Command, places: dict[str, str]) -> None:
    """Raise unless the command is right."""
    words = filled(one.words, places)
    if one.program in ("python", "xent"):
        check_script(script_of(one, words), words[1:])
    elif one.program == "seeds":
        check_training(*words[words.index("--") + 1 :])
    elif one.program in ("torchrun", "srun"):
        while words[0].startswith("--") or words[0] == "python":
            words = words[1:]
        check_script(words[0], words[1:])
    elif one.program == "make":
        for line in made(*words):
            if line.program == "python" and line.words[0] != "-m":
                check(line, places)
    elif one.program == "pip":
        asked = [
            word for word in words if word not in ("install", "check", "-e") and not re.match(r"\.(\[\w+\])?$", word)
        ]
        known = [need.partition(" ")[0] for group in (PINNED["dependencies"], *EXTRAS.values()) for need in group]
        assert [need for need in asked if need not in known and not any(k.startswith(f"{need}>") for k in known)] == []
    elif one.program in ("pytest", "bash"):
        assert (ROOT / words[-1]).exists()
    elif one.program == "tensorboard":
        assert words[0] == "--logdir" and len(words) == 2
    else:
        assert (one.program, words) in SHELL, "nothing here knows this command"


def made(*words: str) -> list[Command]:
    """The commands that ``make WORDS`` gives, with .venv as it is."""
    done = subprocess.run(["make", "-n", "-o", ".venv/installed", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.replace(".venv/bin/", "") for line in done.stdout.splitlines()]
    scripts = [line for line in lines if re.match(r"python \w+\.py|tensorboard ", line)]
    return [command(ROOT / "Makefile", 0, line) for line in scripts]


def short(words: list[str]) -> list[str]:
    """Words of train.py for runs of two steps. The small default data are tested whole, so that they give results."""
    if {"-c", "--cfg", "--help"} & set(words) or any(word.startswith("resume=") for word in words):
        return words
    # what all runs of the command share: whether they take long to test is asked of that
    swept = re.compile(r"(until|metric|max_seeds)=|.*[,(]")
    one = composed_alone([word for word in without_flags(words) if not swept.match(word)])
    small = ("data=image_folder", "data=queries")
    large = any(word.startswith(("data=", "experiment=")) and word not in small for word in words)
    large = large or one.choices["data"] == "tiny_shakespeare"
    less = [f"task.{key}=2" for key in ("val_samples", "test_samples") if key in one.cfg["task"]]
    if one.choices["ablation"] and "train_examples" in one.cfg["data"]:
        less.append("data.train_examples=1000")  # of which some families test a probe
    fewest = ["max_seeds=3"] if "until=verdict" in words else ["seed=0"]
    seeds = fewest if is_sweep(words) else []
    # the folder that the command itself, without these words, would have
    names = [word.replace("ablation=", "name=") for word in words if word.startswith("ablation=")]
    limit = ["trainer.limit_eval_batches=1"] if large else []
    return laid_over([*words, *names, *SHORT, *seeds, *less, *limit])


def needs_more(words: list[str]) -> bool:
    """Whether words of train.py ask for GPUs, a cluster, data that are not there, or a compiler."""
    gpus = {"trainer=ddp", "trainer=fsdp", "trainer=gpu"} & set(words) and "trainer.accelerator=cpu" not in words
    return bool(gpus) or any(
        word.startswith(("hydra/launcher=", "data=cifar10", "data.train_examples=", "compile=", *NOT_HERE))
        for word in words
    )


def give(script: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``python SCRIPT WORDS`` in a short form; in this process, but for sweeps, which start processes by themselves."""
    main = {"train.py": train.main, "evaluate.py": evaluate.main, "report.py": report.main, "tune.py": tune.main}
    if script == "train.py":
        if needs_more(words):
            return
        words = short(words)
        if is_sweep(words) or "trainer=ddp" in words:
            done = subprocess.run([sys.executable, str(ROOT / script), *words], capture_output=True, text=True)
            assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
            return
    if "export=onnx" in words and not importlib.util.find_spec("onnx"):
        return
    if script == "tune.py":
        words = laid_over([*words, "trials=2", "trainer.max_steps=4", *SHORT[1:]])
    if script in main:
        trust.forget()
        monkeypatch.setattr(sys, "argv", [script, *words])
        try:
            status = guarded(main[script])
        except SystemExit as ended:  # after --help
            status = ended.code
        assert status == 0, f"{script} {shlex.join(words)}"


def run(one: Command, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the command says, in a short form, if it is one of ours and nothing more is needed."""
    words = filled(one.words, places)
    for each in one.env:
        monkeypatch.setenv(*filled((each,), places)[0].split("=", 1))
    if one.program in ("python", "xent"):
        give(script_of(one, words), words[1:], monkeypatch)
    elif one.program == "seeds":
        give("train.py", words[words.index("--") + 1 :], monkeypatch)
    elif one.program == "make":
        for line in made(*words):
            run(line, places, monkeypatch)
    elif one.program == "tensorboard":
        subprocess.run([sys.executable, "-m", "tensorboard.main", "--inspect", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder with the files that docs/own.md, docs/family.md and docs/players.md show."""
    folder = tmp_path_factory.mktemp("own")
    for page in ("own", "family", "players"):
        write_files(ROOT / f"docs/{page}.md", folder)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    """Where the reader gives the commands."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "datasets").symlink_to(real_data)
    return folder


@pytest.fixture(scope="module")
def places(own: Path, here: Path, real_data: Path) -> dict[str, str]:
    """What the reader's names stand for: a folder of images, which are lines too, a text, and runs."""
    (own / "MNIST").symlink_to(real_data / "MNIST")
    for split, kind in itertools.product(("train", "test"), ("black", "white")):
        (own / split / kind).mkdir(parents=True)
        for number in range(12):
            grey = Image.new("L", (32, 32), number + 200 * (kind == "white"))
            grey.save(own / split / kind / f"{number}.png")
    lines = [f"{path.relative_to(own)}\t{path.parent.name[0]}" for path in sorted(own.glob("t*/*/*.png"))]
    (own / "labels.tsv").write_text("\n".join(lines))
    text = own / "text.txt"
    text.write_text("ROMEO: He jests at scars that never felt a wound.\n" * 300)
    with contextlib.chdir(here), pytest.MonkeyPatch.context() as patch:
        give("train.py", ["-m", "loss=ce,focal"], patch)
        give("train.py", ["data=text_file", f"data.path={text}", "model=gpt"], patch)
        give("train.py", ["data.binarise=dynamic", "model=vae", "loss=elbo"], patch)
        give("train.py", ["experiment=fashion_judge"], patch)
    runs = {path.parent for path in here.rglob("result.json")}
    return {
        "RUN_FOLDER": next(str(run) for run in sorted(runs) if "mnist_5k-mlp" in str(run)),
        "TEXT_RUN": next(str(run) for run in runs if "text_file" in str(run)),
        "JUDGE": next(str(run) for run in runs if "fashion_judge" in str(run)),
        "IMAGE_RUN": next(str(run) for run in runs if "mnist_5k-vae" in str(run)),
        **{"FILE": str(text), "FOLDER": str(own), "DATA": str(real_data), "NAME": "mnist_losses", "HOST": "localhost"},
    }


@pytest.mark.parametrize("page", README_FIRST, ids=lambda page: page.stem)
def test_commands_are_right(page: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(own))
    each_of(page, lambda one: check(one, dict.fromkeys(PLACES, str(own)) | {"NAME": "mnist_losses"}))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "benchmarks"], ids=lambda page: page.stem)
def test_commands_run(page: Path, places: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the top of the page to its end."""
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(places["FOLDER"])
    each_of(page, lambda one: run(one, places, monkeypatch))


def each_of(page: Path, do: Callable[[Command], None]) -> None:
    for one in commands(page):
        try:
            do(one)
        except Exception as error:
            raise AssertionError(f"{one}\n{type(error).__name__}: {error}") from error


@BY_PAGE
def test_words_are_known(page: Path) -> None:
    """Each key and option of a command, and each `key=value` of a sentence, is in the reference."""
    known = set(re.findall(r"^\| `([\w.]+)` \|", reference(), re.MULTILINE))
    options = {tuple(found) for found in re.findall(r"^### (\w+)=(\w+)$", reference(), re.MULTILINE)}
    for word in words_of(page):
        key, value = key_of(word), word.partition("=")[2]
        if any(group == key for group, _ in options):
            unknown = [each for each in value.split(",") if (key, each) not in options and each not in MINE]
            assert not unknown, f"{page.name}: {word}"
        else:
            assert key in known | OTHER_KEYS or key.startswith("hydra") or "_target_" in key, f"{page.name}: {word}"


def words_of(page: Path) -> set[str]:
    """The words key=value of a page's commands and sentences; not of programs other than ours."""
    ours = [one for one in commands(page) if one.program in ("python", "xent", "seeds", "torchrun", "srun", "make")]
    typed = {word for one in ours for word in one.words if re.match(r"\+?[a-z][\w./]*=", word)}
    sentences = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return typed | set(re.findall(r'`"?(\+?[a-z][\w./]*=[^`\s="]+)"?`', sentences))
