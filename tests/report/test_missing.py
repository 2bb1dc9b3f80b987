"""The command for more seeds: the runs' own words and no others, as a shell takes them."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from src.report import missing
from src.report.compare import Comparison, compare
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.write import find_baseline
from tests.report.fabricated import CE, FOCAL, ablation_of

WORDS = {"ce": ["loss=ce", "model.widths=[8, 8]"], "focal": ["loss=focal", "model.widths=[8, 8]"]}


def read(folder: Path) -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    return compare(section, find_baseline(section, "ce"))


def command(folder: Path, count: int) -> str:
    ce, focal = read(folder).groups
    return missing.command(ce, focal, count)


def plain(folder: Path, words: dict[str, list[str]] = WORDS) -> Path:
    """Runs of a -m sweep, which say their words."""
    for path in ablation_of(folder, [CE, FOCAL], range(3), n=50).glob("*/*/result.json"):
        loss = path.parent.parent.name.split("-")[0]
        result = json.loads(path.read_text())
        result["run"]["words"] = [*words[loss], f"seed={path.parent.name[4:]}", "trainer.threads=1"]
        path.write_text(json.dumps(result))
    return folder


def ablation(folder: Path, typed: str) -> Path:
    ablation_of(folder, [CE, FOCAL], range(3), n=50, ablation="mine")
    jobs = [
        {"label": path.parent.name.split("-")[0], "seed": int(path.name[4:]), "folder": str(path.relative_to(folder))}
        for path in folder.glob("*/seed*")
    ]
    sweep = {"baseline": "ce", "command": typed, "jobs": [{**job, "overrides": ["a=b"]} for job in jobs]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return folder


def test_of_an_ablation_it_is_its_own_with_other_seeds(tmp_path: Path) -> None:
    ablation(tmp_path, "python train.py ablation=mine 'note=a b; c' seed=0,1,2 overwrite=true model.widths='[8,8]'")
    assert shlex.split(command(tmp_path, 2)) == [
        *("python", "train.py", "ablation=mine", "note=a b; c", "model.widths=[8,8]", "seed=3,4")
    ]
    assert command(tmp_path, 40).endswith(" 'seed=range(3,43)'")


def test_the_folder_of_ones_own_options_stays(tmp_path: Path) -> None:
    ablation(tmp_path, "python train.py --config-dir '/my conf' ablation=mine")
    assert command(tmp_path, 1) == "python train.py '--config-dir=/my conf' ablation=mine seed=3"


def test_of_a_plain_sweep_it_is_the_words_of_the_runs(tmp_path: Path) -> None:
    assert shlex.split(command(plain(tmp_path), 2)) == [
        *("python", "train.py", "-m", "loss=ce,focal", "model.widths=[8, 8]", "trainer.threads=1", "seed=3,4")
    ]


def test_runs_that_differ_in_more_than_one_key_take_two_commands(tmp_path: Path) -> None:
    plain(tmp_path, {"ce": ["loss=ce"], "focal": ["loss=focal", "loss.gamma=3"]})
    first, second = command(tmp_path, 1).split(" && ")
    assert first == "python train.py -m loss=ce trainer.threads=1 seed=3"
    assert second == "python train.py -m loss=focal loss.gamma=3 trainer.threads=1 seed=3"


def test_a_seed_that_one_of_both_lacks_comes_first(tmp_path: Path) -> None:
    plain(tmp_path)
    (next(tmp_path.glob("focal-*/seed1")) / "result.json").unlink()
    assert command(tmp_path, 2).endswith(" seed=1,3")


@pytest.mark.parametrize(
    "typed",
    [
        "rm -rf ~",
        "python train.py ablation=mine; rm -rf ~",
        "python -c evil ablation=mine",
        "python train.py ablation=mine $(evil)",
        "python train.py ablation=mine 'note=a\nrm x'",
        "xent train --cfg=job ablation=mine",
    ],
)
def test_what_is_no_command_of_ours_makes_none(tmp_path: Path, typed: str) -> None:
    assert command(ablation(tmp_path, typed), 2) == ""


def test_what_a_shell_would_obey_is_quoted(tmp_path: Path) -> None:
    ablation(tmp_path, "python train.py ablation=mine 'note=$(evil)' 'tags=[`x`]'")
    assert "'note=$(evil)' 'tags=[`x`]'" in command(tmp_path, 1)


def test_runs_that_do_not_say_their_words_get_none(tmp_path: Path) -> None:
    assert command(ablation_of(tmp_path, [CE, FOCAL], range(3), n=50), 2) == ""
