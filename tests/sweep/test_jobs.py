"""The list of jobs: of every ablation against its YAML, expanded here by brute force, and of -m against products."""

import dataclasses
import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from src.config.check import PROVIDED
from src.config.entry import checked
from src.config.errors import UserError
from src.folder.folder import home_of
from src.folder.identity import slug
from src.package import CONF
from src.sweep.jobs import as_sweep, as_typed, is_sweep
from tests.commands import composed
from tests.sweep.composing import composed_alone, jobs

ABLATIONS = sorted(CONF.glob("ablation/*.yaml"), key=lambda path: path.stem)
LARGE = ("llama_parts", "mnist_label_noise")
# data and network that a user could take in the place of an ablation's, where any others would not fit its losses
PICKS = {
    "mnist_vae": ("mnist_binarised", "vae_iwae"),
    "mnist_denoising": ("fashion_mnist", "unet"),
    "fashion_gan": ("cifar10", "dcgan"),
    **dict.fromkeys(("digit_angle_losses", "digit_angle_noise"), ("diabetes", "mlp")),
    "digit_captions_clip": ("mnist_5k", "two_towers"),
    "digit_lines_ctc": ("digit_lines", "line_cnn"),
}
NEEDS = {"distillation_temperature": ("teacher=somewhere",), "fashion_gan": ("judge=somewhere",)}


def product(line: str) -> list[tuple[str, ...]]:
    """ "a=1,2 b=[3,4]" as (a=1, b=[3,4]), (a=2, b=[3,4])."""
    words = [word.partition("=") for word in line.split()]
    each = [[f"{key}={value}" for value in re.split(r",(?![^\[]*\])", values)] for key, _, values in words]
    return list(itertools.product(*each))


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["a seed", "whole"])
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem in LARGE else path for path in ABLATIONS],
    ids=lambda path: path.stem,
)
def test_jobs_of_an_ablation(path: Path, whole: bool) -> None:
    keys = yaml.safe_load(path.read_text())
    name, ablation = path.stem, keys["ablation"]
    typed = NEEDS.get(name, ())
    seeds = () if whole else ("seed=4",)
    expected = [
        (f"ablation={name}", *words, *typed, f"seed={seed}", "trainer.threads=1")
        for seed in (ablation["seeds"] if whole else [4])
        for line in ablation["runs"]
        for words in product(line)
    ]
    made = jobs(f"ablation={name}", *typed, *seeds)
    own = [[word for word in job if not word.startswith("label=")] for job in made]
    assert [normal(words) for words in own] == [normal(words) for words in expected]
    assert [job.fault for job in made] == [None] * len(made)
    assert ablation["baseline"] in {job.label for job in made}
    assert len({(job.label, job.cfg["optimizer"]["lr"], job.seed) for job in made}) == len(made), "labels tell apart"
    for job in (made[0], made[-1]):  # as the run's own process composes it
        alone = composed_alone([*job, "hydra.mode=RUN"])
        assert (alone.cfg, alone.choices) == (job.cfg, job.choices)
        assert job.choices["ablation"] == name


def normal(words: tuple[str, ...] | list[str]) -> list[tuple[str, object]]:
    """Words with their values read: 1e-3 and 0.001 are the same."""
    return [(word.partition("=")[0], yaml.safe_load(word.partition("=")[2])) for word in words]


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_sets_no_key_inside_a_group(path: Path) -> None:
    """It would win over what the user picks on the command line; its runs' words do not."""
    assert path.read_text().startswith("# @package _global_\n#"), "a line that says what it asks"
    assert "Expected:" in path.read_text()
    keys = yaml.safe_load(path.read_text())
    assert not keys.keys() & PROVIDED.keys()
    assert all(group.startswith("override /") for option in keys["defaults"] for group in option)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if path.stem in PICKS else [pytest.mark.slow]) for path in ABLATIONS],
    ids=lambda path: path.stem,
)
def test_what_is_typed_wins_in_every_job(path: Path) -> None:
    data, model = PICKS.get(path.stem, ("cifar100", "resnet"))
    typed = (f"data={data}", f"model={model}", "optimizer=sgd", "optimizer.lr=0.3", "trainer.max_steps=7", "seed=8,9")
    made = jobs(f"ablation={path.stem}", *typed, *NEEDS.get(path.stem, ()))
    assert {job.seed for job in made} == {8, 9}
    for job in made:
        assert job.cfg["optimizer"]["_target_"] == "torch.optim.SGD"
        assert (job.cfg["optimizer"]["lr"], job.cfg["trainer"]["max_steps"]) == (0.3, 7)
        assert (job.choices["data"], job.choices["model"]) == (data, model)
    assert len(made) == len({tuple(job) for job in made}), "a learning rate that is typed leaves no doubles"


FOLDERS = ("label=poly1", "name=focal_gamma-epsilon2")


def test_a_typed_group_replaces_the_keys_inside_it() -> None:
    made = jobs("ablation=focal_gamma", "loss=poly1", "loss.epsilon=2", "seed=0")
    assert [list(job) for job in made] == [
        ["ablation=focal_gamma", "loss=poly1", "loss.epsilon=2", "seed=0", "trainer.threads=1", *FOLDERS]
    ]


def test_jobs_of_a_plain_sweep() -> None:
    made = jobs("-m", "loss=ce,focal", "seed=range(3)", "optimizer.lr=1e-3,1e-2", "model.widths=[8,9]")
    expected = [
        [f"loss={loss}", f"seed={seed}", f"optimizer.lr={lr}", "model.widths=[8,9]", "trainer.threads=1"]
        for loss, seed, lr in itertools.product(("ce", "focal"), range(3), ("1e-3", "1e-2"))
    ]
    assert [list(job) for job in made] == expected
    assert all(job.cfg["trainer"]["threads"] == 1 for job in made)
    assert made[-1].title == "focal lr=1e-2 seed=2"
    assert {job.label for job in made} == {"ce", "focal"}


def test_glob_takes_all_options_of_a_group() -> None:
    assert {job.choices["scheduler"] for job in jobs("-m", "scheduler=glob(*,exclude=cosine_*)")} == {
        path.stem for path in CONF.glob("scheduler/*.yaml") if not path.stem.startswith("cosine_")
    }


def test_a_key_of_the_chosen_option_fits_although_the_default_option_has_none() -> None:
    made = jobs("-m", "data=mnist,fashion_mnist", "data.root=somewhere", "loss=focal", "loss.gamma=3")
    assert [(job.choices["data"], job.cfg["data"]["root"]) for job in made] == [
        ("mnist", "somewhere"),
        ("fashion_mnist", "somewhere"),
    ]


def test_threads_that_are_typed_stay() -> None:
    (job,) = jobs("-m", "trainer.threads=3")
    assert job == ["trainer.threads=3"]
    (job,) = jobs("-m", "seed=0", threads=None)
    assert job.cfg["trainer"]["threads"] is None


def folders_of(*words: str) -> list[str]:
    """Family and name of each run's folder, as its own process finds them."""
    made = [composed_alone([*job, "hydra.mode=RUN"]) for job in jobs(*words)]
    return [f"{home_of(one.cfg, one.choices)}/{one.cfg['label'] or slug(one.choices, one.words)}" for one in made]


@pytest.mark.parametrize(
    ("words", "home", "names"),
    [
        # an ablation, as it is and with what all of its runs are given
        (("ablation=mnist_losses", "seed=0", "loss=ce,focal"), "mnist_losses", ["ce", "focal"]),
        (
            ("ablation=focal_gamma", "seed=0", "data=mnist_5k", "model=mlp", "trainer.max_steps=2"),
            "focal_gamma-mnist_5k-mlp-max_steps2",
            ["ce", *(f"focal-gamma{gamma}" for gamma in ("0.5", "1", "2", "3", "5"))],
        ),
        # a sweep with a name, and the same without
        (
            ("-m", "name=wide", "loss=ce", "optimizer.lr=1e-3,1e-2", "model.widths=[400,400]"),
            "wide",
            ["ce-lr1e-3", "ce-lr1e-2"],
        ),
        (("-m", "name=nets", "model=mlp,resnet", "loss=focal", "loss.gamma=1"), "nets", ["focal-mlp", "focal-resnet"]),
        (
            ("-m", "loss=ce", "optimizer.lr=1e-3,1e-2", "model.widths=[400,400]"),
            "mnist_5k-mlp",
            ["ce-lr1e-3-widths400x400", "ce-lr1e-2-widths400x400"],
        ),
    ],
)
def test_what_all_runs_have_in_common_is_in_the_name_of_their_folder(
    words: tuple[str, ...], home: str, names: list[str]
) -> None:
    assert folders_of(*words) == [f"runs/{home}/{name}" for name in names]


@pytest.mark.slow
def test_names_of_an_ablation_say_what_tells_its_runs_apart() -> None:
    found = {name.rpartition("/")[2] for name in folders_of("ablation=cifar10_losses", "seed=1")}
    assert {"focal-gamma3-lr0.1", "ce-lr0.1"} <= found
    assert len(found) == len(
        {(job.label, job.cfg["optimizer"]["lr"]) for job in jobs("ablation=cifar10_losses", "seed=0")}
    )


def test_a_sweep_has_one_name() -> None:
    with pytest.raises(UserError, match="one command has one name, got a, b"):
        jobs("-m", "name=a,b", "loss=ce")


def test_the_fault_of_one_job_stops_all_before_the_first_starts() -> None:
    expected = "^1 of 3 runs could not run, so none starts. loss=focall: unknown loss 'focall'. Did you mean focal"
    with pytest.raises(UserError, match=expected):
        jobs("-m", "loss=ce,focall,focal")
    with pytest.raises(UserError, match=r"^2 of 4 runs .* loss=ce loss.gamma=1: unknown key 'gamma' in loss"):
        jobs("-m", "loss=ce,focal", "loss.gamma=1,2")


CLAIM = "+ablation.claims=[{claim:a,source:b,loss:fokal,metric:nll,expected:[0,1]}]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ablation=mnist_losses", "loss.gama=3"), "unknown key 'gama' in loss"),
        (("ablation=mnist_losses", "optimizer.lr=fast"), "optimizer.lr must be a number, got 'fast'"),
        (("ablation=mnist_losses,focal_gamma",), "one command runs one ablation"),
        (("ablation=distillation_temperature",), "ablation=distillation_temperature needs teacher=...; conf/ablation/"),
        (("-m", "loss=focall"), "unknown loss 'focall'"),
        (("-m", "resume=a,b"), "resume=FOLDER finishes one run"),
        (("ablation=mnist_losses", "ablation.seeds=[-1]"), r"ablation.seeds must be integers >= 0, got \[-1\]"),
        (("ablation=mnist_losses", "ablation.runs=[]"), "ablation.runs has no value"),
        (("ablation=mnist_losses", "ablation.seeds=[a]"), r"ablation.seeds must be a list, got \['a'\]"),
        (("ablation=mnist_losses", "ablation.baseline=fokal"), "ablation.baseline=fokal is none of ce, smoothed_ce"),
        (
            ("ablation=mnist_losses", "model.widths=[8]", CLAIM),
            r"claims\[0\]: no run is labelled 'fokal'. Did you mean focal",
        ),
        (("-m", "seed=range(0)"), "seed=range\\(0\\) has no values, so there is nothing to run"),
        (
            ("-m", "loss=glob(zz*)"),
            "loss=glob\\(zz\\*\\) has no values, so there is nothing to run. There is no option",
        ),
        (("-m", "seed=0,0"), "seed=0,0 has 0 twice, which would be the same run"),
        (("-m", "loss=focal", "loss.gamma=1,1.0"), "loss.gamma=1,1.0 has 1.0 twice"),
        (("-m", "seed=range(1000000000000)"), "seed=range\\(1000000000000\\) has more than 20,000 values"),
        (
            ("-m", "seed=range(1000)", "loss.x=range(1000)"),
            "1,000,000 runs are asked for, and one command takes 20,000",
        ),
        (("-m", "optimizer.lr=interval(0,1)"), "a sweep takes a,b or range"),
    ],
)
def test_the_fault_of_all_jobs_is_the_sweep_s(words: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        jobs(*words)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("seed=0,1", False),
        ("-m seed=0,1", True),
        ("seed=0,1 --multirun", True),
        ("ablation=mnist_losses seed=0", True),
        ("ablation=mnist_losses hydra.mode=RUN", False),
        ("ablation=null", False),
        ("ablation=mnist_losses -c job", False),
        ("ablation=mnist_losses --help", False),
        ("--config-dir=mine ablation=own", True),
    ],
)
def test_what_asks_for_a_sweep(line: str, answer: bool) -> None:
    assert is_sweep(line.split()) is answer


def test_plain_words_are_left_to_the_jobs() -> None:
    kept = ["seed=0,1", "ablation=x", "hydra.launcher.jobs=2", "~model.widths", "a=b=c", "seed=choice(0,1)"]
    plain = ["loss.gamma=3", "resume=", "+x=[1,2]", "y='a b'", "z=null", "runs='a=b\\'c'", "p=1e3", "q='ü→'", "s='\n'"]
    rewritten = as_sweep([*kept, *plain])
    assert rewritten[: len(kept) + 1] == ["-m", *kept]
    assert not set(rewritten) & set(plain)
    assert as_typed(rewritten[1:]) == [*kept, *plain]
    assert as_sweep(["-m", "seed=0"])[0] == "-m" and len(as_sweep(["-m", "seed=0"])) == 2
    (job, _) = jobs("-m", "data.mixup=null", "samples.prompt='a\nb'", "seed=0,1")
    assert (job.cfg["data"]["mixup"], job.cfg["samples"]["prompt"]) == (None, "a\nb")


def test_a_value_made_of_the_seed_is_each_job_s_own() -> None:
    made = jobs("-m", "loss=focal", "loss.gamma=${seed}", "seed=1,2")
    assert [(job.cfg["seed"], job.cfg["loss"]["gamma"]) for job in made] == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    "words",
    [
        ("ablation=mnist_losses", "seed=3"),
        ("-m", "loss=focal", "loss.gamma=1,2", "optimizer.lr=1e-3", "seed=1,4000000000"),
        ("-m", "model.widths=[8],[16]", "runs=1e3", "trainer.threads=2", "loss.class_weights=balanced"),
    ],
)
def test_a_job_is_handed_what_its_own_command_composes_to(words: tuple[str, ...]) -> None:
    """To the last key and in the same order, for config.yaml and the run's identity are made of it."""
    for job in jobs(*words):
        alone = checked(composed(*job))
        assert json.dumps(dataclasses.astuple(job.composed())[:3]) == json.dumps(dataclasses.astuple(alone)[:3])
        assert {*alone.trusted} <= {*job.composed().trusted}
