"""A folder that somebody made to do harm: a report of it runs nothing, writes nothing elsewhere, ends, and escapes."""

import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.report.fabricated import CE, FOCAL, Kind, ablation_of, finished, started
from tests.report.test_damage import EVIL
from tests.report.test_read import sweep

LONG = "n" * 300
MARKDOWN = "a](javascript:x) **b** <img src=x onerror=alert(1)> `c` | d\n# e"


def edit(path: Path, **changes: object) -> None:
    """Change keys of a config.yaml, by group or at its top."""
    config = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) and isinstance(config.get(key), dict) else value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good losses, and around them everything that names, contents and kinds of files can be made of."""
    top = tmp_path_factory.mktemp("hostile")
    runs = ablation_of(top / "runs", [CE, FOCAL], range(3), n=50)
    touch = f"touch {top / 'ran'}"
    good = sorted(runs.glob("*/seed*"))
    for run, note in zip(
        good, (EVIL, MARKDOWN, LONG, "=cmd|' /C calc'!A0", "{{ 7*7 }}{% raw %}", "\x1b[31m"), strict=True
    ):
        edit(run / "config.yaml", note=note, tags=[note, "</script><script>alert(2)</script>"])
    for i, (name, changes) in enumerate(
        {
            "target": {"loss": {"_target_": "os.system", "_args_": [touch]}, "model": {"_target_": "builtins.exec"}},
            "choices": {"choices": {"loss": EVIL, "data": MARKDOWN, "model": LONG, "debug": None}},
            "debugging": {"choices": {"debug": EVIL}},
            "keys": {"loss": {EVIL: EVIL, "__class__": "x", "gamma": LONG}},
        }.items()
    ):
        edit(finished(runs, Kind(name), i, n=50) / "config.yaml", **changes)
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    texts = {
        "bomb": bomb,
        "python": f"x: !!python/object/apply:os.system ['{touch}']\n",
        "deep": "x: " + "[" * 10_000,
        "wide": "seed: 1\n" * 1000,
        "nul": "seed: \0\n",
    }
    for name, text in texts.items():
        (started(runs, Kind(name), 0) / "config.yaml").write_text(text)
    for name in ("config.yaml", "result.json", "metrics.csv", "predictions.npz"):
        run = finished(runs, Kind(f"pipe{name[0]}"), 0, n=50)
        (run / name).unlink()
        os.mkfifo(run / name)
    evaluations = good[0] / "evaluations"
    evaluations.mkdir()
    os.mkfifo(evaluations / "shift_noise.json")
    (good[1] / "evaluations").symlink_to("/proc/self/fd")
    (good[2] / "evaluations").mkdir()
    (good[2] / "evaluations/shift_x.json").write_text(json.dumps({"shift": EVIL, "weights_sha256": 1, "data": []}))
    for name in (
        "<img src=x onerror=alert(3)>",
        "a\nb",
        "\x1b]0;owned\x07",
        "n" * 255,
        "[x](javascript:y)",
        "--help",
        "a%2e%2e",
    ):
        finished(runs / name, CE, 7, n=50)
    (runs / "loop").symlink_to(runs)
    (runs / "a").mkdir()
    (runs / "a/b").symlink_to(runs / "a")
    (runs / "outside").symlink_to("/proc")
    other = top / "runs/sweeps"
    sweep_of(other / "one", f"python train.py ablation=x; {touch}", good[0])
    sweep_of(other / "two", f"$({touch})", good[1])
    sweep_of(other / "three", "python train.py --config-dir=/tmp/evil -m loss=evil " + EVIL, good[2])
    (other / "pipe").mkdir()
    os.mkfifo(other / "pipe/sweep.yaml")
    return top


def sweep_of(home: Path, command: str, run: Path) -> None:
    home.mkdir(parents=True)
    sweep(home, [(EVIL, 1, None), (LONG, 2, None)], MARKDOWN)
    listing = yaml.safe_load((home / "sweep.yaml").read_text())
    listing["command"] = command
    claim = {"claim": EVIL, "source": MARKDOWN, "loss": EVIL, "metric": "nll", "expected": [0, 1]}
    other = {**claim, "against": LONG, "metric": EVIL, "source": f"=HYPERLINK({EVIL})", "expected": [None, 0.5]}
    listing["claims"] = [claim, other]
    listing["jobs"][0] |= {"folder": os.path.relpath(run, home), "overrides": ["loss=$(x)", EVIL]}
    listing["jobs"][1] |= {"folder": "../../../../../../etc"}
    (home / "sweep.yaml").write_text(yaml.safe_dump(listing))


def command(top: Path, *words: object) -> subprocess.CompletedProcess[bytes]:
    """report.py as a process that may take a minute; what it wrote lies in out/ alone, and nothing ran."""
    before = {path: path.lstat().st_mtime_ns for path in (top / "runs").rglob("*") if not path.is_relative_to("/proc")}
    done = subprocess.run(
        [sys.executable, ROOT / "report.py", *words, top / "runs"],
        capture_output=True,
        timeout=60,
        cwd=top,
        check=False,
    )
    assert {path: path.lstat().st_mtime_ns for path in (top / "runs").rglob("*")} == before
    assert not (top / "ran").exists() and {path.name for path in top.iterdir()} <= {"runs", "out"}
    assert done.returncode == 0, done.stderr.decode()
    return done


class Page(html.parser.HTMLParser):
    """The tags of a page, with what could run or lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


@pytest.fixture(scope="module")
def told(hostile: Path) -> str:
    """What the command said that wrote the report."""
    return command(hostile, f"out={hostile / 'out'}").stdout.decode()


def test_a_report_of_it_does_nothing_but_report(hostile: Path, told: str) -> None:
    assert all(line.isprintable() for line in told.splitlines())
    assert {path.name for path in (hostile / "out").iterdir()} == {
        "report.html",
        "report.md",
        "report.csv",
    }
    text = (hostile / "out/report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.tags.count("script") == 1 and not page.handlers
    assert not {"img", "iframe", "object", "form", "base"} & set(page.tags)
    for link in page.links:
        assert link == "data:," or re.fullmatch(r"#[\w-]+|\.\.?/[\w./~%-]*", link), link
    for name in ("report.html", "report.md", "report.csv"):
        content = (hostile / "out" / name).read_text()
        assert not {char for char in content if char != "\n" and not char.isprintable()}, name
        assert "49{" not in content
    markdown = (hostile / "out/report.md").read_text()
    assert "Published claims" in markdown
    assert not re.search(r"(?<!\\)\]\(|<(?!br>)|^# e", markdown, re.MULTILINE)
    for line in (hostile / "out/report.csv").read_text().splitlines():
        assert not re.search(r'(?:^|,)"?[=+@]', line), line


def test_no_command_of_a_folder_is_recommended(hostile: Path, told: str) -> None:
    """It is shown with where it comes from, and quoted so that a shell would take its parts for words."""
    assert "'ablation=x;' touch" in told and "'$(touch'" in told
    for text in (told, (hostile / "out/report.md").read_text()):
        for line in text.splitlines():
            assert "touch" not in line or "sweep.yaml says" in line or "os.system" in line
    page = (hostile / "out/report.html").read_text()
    for found in re.finditer("<code>", page):
        assert "as its sweep.yaml says. It is shown, not checked" in page[max(0, found.start() - 2000) : found.start()]


def test_a_list_of_it_does_nothing_but_list(hostile: Path) -> None:
    lines = command(hostile, "--list").stdout.decode().splitlines()
    assert len(lines) > 25 and all(line.isprintable() for line in lines)
    told = "\n".join(lines)
    for reason in ("it is no regular file", "has an alias", "of the type tag:yaml.org,2002:python", "deep"):
        assert reason in told
