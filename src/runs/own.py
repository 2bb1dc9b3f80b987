"""Classes of the user's own, tried before anything is written."""

import torch
from torch import Tensor

from ..config.errors import UserError
from ..data.base import Batch, Chance, Data
from ..names import NAME
from ..plain import Plain
from ..tasks.base import Task

SOME = 32  # examples to try, or some more


def is_foreign(thing: object) -> bool:
    """Whether the class of ``thing`` is none of this project."""
    return not type(thing).__module__.startswith(f"{NAME}.")


def try_out(cfg: Plain, task: Task, data: Data) -> None:
    """Have a network, loss or task of the user's own answer some examples. Raises UserError for what they raise, and
    for a loss that does not give one number for each example."""
    if not any(map(is_foreign, (task, task.model, task.loss))):
        return
    names = ", ".join(f"{group}={cfg['choices'][group]}" for group in ("data", "model", "loss"))
    kind = next((p.dtype for p in task.model.parameters()), data.dtype)  # float64 comes later
    inputs, targets = data.eval_batch("val", 0)
    evenly = slice(None, None, max(1, len(inputs) // SOME))  # a split may be sorted by class
    inputs, targets = inputs[evenly], targets[evenly]
    inputs, targets = (part.to(kind) if part.is_floating_point() else part for part in (inputs, targets))
    batch = Batch(inputs, targets, Chance("trial", size=len(inputs)))
    modes = [(module, module.training) for module in task.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            task.eval()
            terms, answer = task.judge(task.prepare(batch))
            task.examples(answer)
    except Exception as error:  # whatever a class of the user's own raises
        raise UserError(
            f"{names}: the loss of some examples could not be computed: {type(error).__name__}: {error}"
            " (XENT_DEBUG=1 shows where)"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    rows = len(next(iter(answer.values())))
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.shape != (rows,):
            shape = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise UserError(
                f"loss={cfg['choices']['loss']} must give one number for each example, ({rows},) here, got {shape}"
                f"{'' if name == 'loss' else f' as {name}'}: leave the mean to the task"
            )
