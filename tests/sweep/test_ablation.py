"""What an ablation's file may claim, and that a sweep hands its claims on to the report."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from src.config.errors import UserError
from src.config.schema import AblationConf
from src.sweep.ablation import ablation_of, check_labels, relabels
from src.sweep.sweep import record

CLAIM = {"claim": "It is better.", "source": "table 1", "loss": "focal", "metric": "ece", "expected": [-0.1, -0.01]}
KEYS = "claim, source, loss, metric, expected, against"


TASKS = dict.fromkeys(("ce", "smoothed_ce", "brier", "focal"), "classification")


def claiming(claims: Any, *typed: str) -> str:
    """What an ablation with these claims is told; "" if it may run."""
    node = OmegaConf.create(
        {"baseline": "ce", "runs": ["loss=ce,smoothed_ce,brier,focal"], "seeds": [0], "claims": claims}
    )
    try:
        check_labels("mine", ablation_of("mine", node), typed, TASKS)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "more",
    [{}, {"against": "ce"}, {"expected": [None, 1]}, {"expected": [0, None]}, {"metric": "perplexity"}],
    ids=str,
)
def test_claims_that_hold_together(more: dict[str, Any]) -> None:
    assert claiming([CLAIM | more]) == ""


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"metric": "eec"}, "no metric 'eec'. Did you mean ece? There are accuracy, nll"),
        ({"loss": "fokal"}, "no run is labelled 'fokal'. Did you mean focal? There are ce, smoothed_ce, brier"),
        ({"against": "cee"}, "no run is labelled 'cee'. Did you mean ce? There are ce"),
        ({"against": "focal"}, ".against must be the label of another loss, got 'focal'"),
        ({"expected": [0.1, -0.1]}, ".expected must be [LOW, HIGH] with LOW below HIGH, got [0.1, -0.1]"),
        ({"expected": [0.1, 0.1]}, ".expected must be [LOW, HIGH] with LOW below HIGH"),
        ({"expected": [None, None]}, ".expected must be [LOW, HIGH], of which one may be null"),
        ({"expected": 0.1}, ".expected must be [LOW, HIGH], of which one may be null, got 0.1"),
        ({"expected": ["a", 1]}, ".expected[0] must be a number, got 'a'"),
        ({"claim": " "}, ".claim must be a text, got ' '"),
        ({"source": None}, ".source must be a text, got None"),
        ({"metrik": "ece"}, f" has the unknown key 'metrik'; there are {KEYS}"),
        ({"metric": "perplexity", "against": "ce"}, "two values of perplexity have a ratio: name nll"),
    ],
    ids=str,
)
def test_a_claim_that_nothing_could_answer_is_one_message(more: dict[str, Any], why: str) -> None:
    told = claiming([CLAIM, CLAIM | more])
    assert told.startswith("conf/ablation/mine.yaml: ablation.claims[1]") and why in told, told
    assert "\n" not in told


def test_a_claim_without_its_text_or_that_is_no_mapping() -> None:
    assert "claims[0].claim must be a text, got None" in claiming([{"loss": "ce"}])
    assert f"claims[0] must be a mapping with the keys {KEYS}, got 'yes'" in claiming(["yes"])
    assert "ablation.claims must be a list, got 'yes'" in claiming("yes")


def test_words_that_change_the_labels_leave_no_claim_behind() -> None:
    """A narrowed ablation is not refused: what its claims name is not run."""
    for words in (("loss=ce",), ("model.widths=[8],[9]",)):
        assert claiming([CLAIM | {"loss": "fokal"}], *words) == ""
    assert "fokal" in claiming([CLAIM | {"loss": "fokal"}], "model.widths=[8]", "trainer.max_epochs=1")


def test_relabels() -> None:
    ablation = AblationConf("ce", ["loss=ce data.label_noise=0,0.2", "loss=focal"], [0])
    assert [
        word
        for word in ("loss=brier", "data=mnist", "data.label_noise=0.1", "seed=0,1", "model.widths=[1],[2]")
        if relabels(ablation, [word])
    ] == ["loss=brier", "data=mnist", "data.label_noise=0.1", "model.widths=[1],[2]"]


def test_a_sweep_hands_its_claims_on(tmp_path: Path) -> None:
    record(tmp_path, AblationConf("ce", ["loss=ce"], [0], margin="nll:0.1", claims=[CLAIM]), "python train.py", [])
    told = yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    assert told == {"baseline": "ce", "margin": "nll:0.1", "claims": [CLAIM], "command": "python train.py", "jobs": []}
