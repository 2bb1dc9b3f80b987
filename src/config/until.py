"""until=verdict: an ablation that trains seeds until its comparisons are decided; the words that ask for it."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..names import called
from .errors import UserError, suggestion
from .words import check_words, key_of, raw_of

WORDS = ("until", "metric", "max_seeds")
LEAST, MOST = 3, 100  # seeds
DEFAULT = 20
WAY = f"{called('train')} ablation=NAME until=verdict metric=nll max_seeds=20"


@dataclass(frozen=True)
class Until:
    """The metric that is compared, and the most seeds of each loss."""

    metric: str
    most: int


def without(words: Iterable[str]) -> list[str]:
    """The words of training."""
    return [word for word in words if key_of(word) not in WORDS]


def until_of(words: Iterable[str]) -> Until | None:
    """What a command line asks, in words as they are typed; None without until=. Raises UserError."""
    words = list(words)
    own = {word.partition("=")[0]: raw_of(word) for word in words if word.partition("=")[0] in WORDS}
    if not own:
        return None
    keys = [key_of(word) for word in words if "=" in word]
    if "until" not in own:
        raise UserError(f"{', '.join(f'{key}=' for key in own)} belongs to until=verdict: {WAY}")
    if own["until"] != "verdict":
        raise UserError(f"until takes verdict, got '{own['until']}'.{suggestion(own['until'], ['verdict'])} {WAY}")
    if "ablation" not in keys:
        raise UserError(f"until=verdict decides the comparisons of an ablation, and none is named: {WAY}")
    if not own.get("metric"):
        raise UserError(f"until=verdict needs the one metric that decides: {WAY}")
    most = own.get("max_seeds", str(DEFAULT))
    if not (most.isascii() and most.isdigit()) or not LEAST <= int(most) <= MOST:
        raise UserError(f"max_seeds must be an integer from {LEAST} to {MOST}, got '{most}'")
    refused = {
        "seed": "until=verdict chooses the seeds: those of the ablation, then the next whole numbers",
        "margin": "write margin: METRIC:SIZE below ablation: in its YAML, or +ablation.margin=METRIC:SIZE here",
        "hydra.mode": "until=verdict trains many runs, and hydra.mode=RUN one",
    }
    for key, why in refused.items():
        if key in keys:
            raise UserError(f"{key}= and until=verdict do not go together: {why}")
    return Until(own["metric"], int(most))


def check_plain(words: Iterable[str]) -> None:
    """Raise UserError where a word of training has several values: each of its runs would be a loss of its own."""
    for override in check_words(words):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line} and until=verdict do not go together: it trains the losses of the ablation as"
                " they are, so a word has one value"
            )
