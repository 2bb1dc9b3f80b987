"""The layers of a network, as the log of a run tells them."""

from ..system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
from pytorch_lightning.utilities.model_summary.model_summary import ModelSummary

from ..data.base import Data
from ..tasks.base import Task

DEPTH = 3  # of layers in layers


def summary(task: Task, data: Data) -> str:
    """The network's layers: types, parameters, and the shapes that one example has in and out of them."""
    inputs, _ = data.eval_batch("val", 0)
    task.example_input_array = inputs[:1]
    modes = [(module, module.training) for module in task.modules()]
    try:
        return str(ModelSummary(task, max_depth=DEPTH))
    except Exception as error:  # a network of the user's own may not be one for it
        return f"no summary: {type(error).__name__}: {error}"
    finally:
        task.example_input_array = None
        for module, training in modes:  # which Lightning leaves in evaluation if the network raises: without dropout
            module.training = training
