"""The page of published tables says what the ablations claim, and of what came out what the report does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import reproductions
from docs.reproductions import MARK, PAGE, STORED, SUMMARY, claimed, key, main, page
from src.metrics.claims import claims_of
from src.report.words import MINUS
from tests.report.fabricated import CE, FOCAL, ablation_of
from tests.report.test_read import sweep

STORED_NOW = json.loads(STORED.read_text())
CLAIMED = claimed()


def sections(text: str) -> dict[str, str]:
    """Heading -> what stands below it, as it is read."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {name: re.sub(r"\\([^\w\s])", r"\1", body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_page_is_what_its_script_makes() -> None:
    assert PAGE.read_text() == page(PAGE.read_text(), STORED_NOW), "run 'python docs/reproductions.py'"
    assert sorted(found[2] for found in MARK.finditer(PAGE.read_text())) == sorted([*CLAIMED, SUMMARY])


@pytest.mark.parametrize("name", CLAIMED)
def test_page_and_option_file_agree(name: str) -> None:
    body, ablation = sections(PAGE.read_text())[name], CLAIMED[name]
    needs = "".join(f" {word}={word.upper()}" for word in ablation.get("needs", []))
    assert f"`python train.py ablation={name}{needs}`" in body
    rows = [line for line in body.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(ablation["claims"])
    for row, claim in zip(rows, ablation["claims"], strict=True):
        assert claim["claim"] in row and claim["source"] in row
        low, high = (None if end is None else f"{end:g}".replace("-", MINUS) for end in claim["expected"])
        expected = f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"
        assert f"| {expected}<br>" in row
        assert f"`{claim['metric']} of {' minus '.join(filter(None, (claim['loss'], claim.get('against'))))}`" in row


@pytest.mark.parametrize("name", STORED_NOW)
def test_what_is_kept_was_measured_for_the_bands_of_today(name: str) -> None:
    """A band that is moved afterwards makes its claim one that is not run."""
    kept = [
        {part: one[part] for part in ("loss", "against", "metric", "expected")} for one in STORED_NOW[name]["measured"]
    ]
    assert kept == [key(claim) for claim in claims_of(CLAIMED[name]["claims"])], "give the sweep's folder again"


def test_every_table_that_was_run_has_a_sentence_of_its_own() -> None:
    for name in STORED_NOW:
        written = MARK.sub("", PAGE.read_text()).partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert len(written.split()) > 8, name


CLAIM = {"claim": "Less.", "source": "Nobody & Co., table 1", "loss": "focal", "against": "ce", "metric": "nll"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page, its numbers and an ablation of the test's own, with a finished sweep in runs/."""
    for place, name in (("CONF", "conf"), ("PAGE", "page.md"), ("STORED", "kept.json")):
        monkeypatch.setattr(reproductions, place, tmp_path / name)
    (tmp_path / "conf").mkdir()
    claim(tmp_path, [-1, 1])
    (tmp_path / "page.md").write_text("# Tables\n\n<!-- made: summary -->\n<!-- end -->\n\nBy hand.\n")
    (tmp_path / "kept.json").write_text("{}")
    home = ablation_of(tmp_path / "runs", [CE, FOCAL], range(4), n=60, ablation="mine")
    jobs = [(path.parent.name.partition("-")[0], int(path.name[4:]), path) for path in home.glob("*/seed*")]
    sweep(home, jobs, "ce")
    return tmp_path


def claim(top: Path, expected: list[Any]) -> None:
    ablation = {"runs": ["loss=ce"], "needs": ["judge"], "claims": [{**CLAIM, "expected": expected}]}
    (top / "conf/mine.yaml").write_text(f"# @package _global_\n# Less? More.\n{yaml.safe_dump({'ablation': ablation})}")


def test_a_sweep_is_taken_in_and_kept(here: Path) -> None:
    assert main([]) == 0
    assert "`python train.py ablation=mine judge=JUDGE`: not run." in (here / "page.md").read_text()
    page_now = (here / "page.md").read_text().replace("## mine\n", "## mine\n\nA sentence of mine.\n")
    (here / "page.md").write_text(page_now)
    assert main([str(here / "runs")]) == 0
    results = [json.loads(path.read_text()) for path in sorted(here.glob("runs/*/seed*/result.json"))]
    nll = {
        loss: [
            json.loads(path.read_text())["metrics"]["test"]["nll"]
            for path in sorted(here.glob(f"runs/{loss}-*/*/result.json"))
        ]
        for loss in ("ce", "focal")
    }
    (kept,) = json.loads((here / "kept.json").read_text()).values()
    (one,) = kept["measured"]
    assert one["value"] == pytest.approx(sum(nll["focal"]) / 4 - sum(nll["ce"]) / 4) and one["n"] == 4
    assert one["low"] < one["value"] < one["high"]
    assert (kept["runs"], kept["seconds"]) == (8, round(sum(one["run"]["seconds"] for one in results)))
    text = (here / "page.md").read_text()
    assert "A sentence of mine." in text and "By hand." in text and "n = 4" in text and "not run" not in text
    assert "| [mine](#mine) | Less? | 1 reproduced |" in text
    assert main([]) == 0 and (here / "page.md").read_text() == text, "without the sweep it stands as it was"
    claim(here, [-2, 2])
    assert main([]) == 0 and "| **not run** |" in (here / "page.md").read_text(), "the band was moved"


def test_a_folder_of_something_else_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [(here / name).read_text() for name in ("page.md", "kept.json")]
    other = ablation_of(here / "others", [CE], range(1), n=20)
    for folder, why in (
        (other, "no finished run of an ablation with claims; there are mine"),
        (here / "conf", "no runs"),
    ):
        assert main([str(folder)]) == 2
        told = capsys.readouterr().err
        assert why in told and len(told.splitlines()) == 1
    assert [(here / name).read_text() for name in ("page.md", "kept.json")] == before
