"""A network whose parts train against each other: in a step each has its turns, with an optimizer of its own."""

from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor

from ..metrics.sums import Measure, Sums
from .base import Task, detached, joined
from .stepping import Named, Seen


class PlayersTask(Task):
    """Trains the parts of the network that ``players`` names in turns. A step is one round of turns, and counts once.

    A family must write ``turn`` and ``examples``. While it is a player's turn, the weights of the others take no
    gradient. "loss" is the sum of what the players minimise, and each player's own is measured under its name.
    Validation and test compute all turns of a round without a step, as ``judge`` does.
    """

    cuts: ClassVar[str] = ""  # the argument that says how many turns share a batch, if there is one

    def turns(self, given: Named) -> Iterable[tuple[str, Named]]:
        """Whose turn it is in a round, and which rows of ``given`` it reads: each player once, and all of them.

        A player may have several turns. The rows that it reads in all of them are as many as a batch has.
        """
        return ((player, given) for player in self.players)

    def turn(self, player: str, given: Named) -> Seen:
        """What ``judge`` gives, of what this player minimises; names of terms and answers are of one player each."""
        raise NotImplementedError

    def judge(self, given: Named) -> Seen:
        return self.together([(player, self.turn(player, read)) for player, read in self.turns(given)])

    def together(self, seen: list[tuple[str, Seen]]) -> Seen:
        terms: Named = {}
        answer: Named = {}
        for player in self.players:
            own, answers = (joined(named) for named in zip(*(one for name, one in seen if name == player), strict=True))
            loss = own.pop("loss")
            terms |= own | {player: loss, "loss": terms["loss"] + loss if "loss" in terms else loss}
            answer |= answers
        return terms, answer

    def batch_loss(self, given: Named, player: str = "") -> tuple[Tensor, Seen]:
        terms, answer = self.turn(player, given) if player else self.judge(given)
        return terms["loss"].mean(), (detached(terms), detached(answer))

    def measure(self, *, whole: bool) -> Measure:
        return Sums(("loss", *self.players, *self.loss.parts, *self.columns), self.derived)
