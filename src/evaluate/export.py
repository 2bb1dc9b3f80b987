"""A trained network as a file that runs without this project."""

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..config.errors import UserError
from ..data.base import Spec, generator
from ..plain import Plain
from ..runs.bench import read_own
from ..runs.rebuild import Rebuilt
from ..runs.trained import Trained
from ..system.files import write_bytes
from .done import Done

FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
EXAMPLES = 256  # that the file and the network are compared on, at most
LIMIT = 1e-3  # of the difference between them, as a part of the value where that is above 1


class Calibrated(nn.Module):
    """uint8 pixels (N, C, H, W) or ids (N, T) -> log-probabilities (N, K) or (N, T, K), or scores without a link.

    All that is between them is inside: standardisation, network, the loss's link, the run's temperature.
    """

    def __init__(self, run: Trained) -> None:
        super().__init__()
        self.run, self.linked = run, run.linked

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.run(inputs)
        if not self.linked:
            return logits
        answers = self.run.loss.log_probs(logits.flatten(0, -2))
        assert answers is not None
        if self.run.temperature is not None:
            answers = (answers / self.run.temperature).log_softmax(-1)
        return answers.reshape(*logits.shape[:-1], answers.shape[-1])


def export(kind: str, run: Rebuilt, cfg: Plain, temperature: float | None) -> Done:
    """The network as ``Calibrated`` has it, written, loaded again and compared on real examples.

    In float32 (float64 for a run in float64), for batches of any size; texts may be shorter than a block. Raises
    RuntimeError where the file says something else than the network.
    """
    module = Calibrated(Trained(run, temperature, cfg)).eval()
    examples, notes = test_examples(run, cfg)
    if cfg["trainer"]["precision"].endswith("-mixed"):
        notes.append(
            f"trained in {cfg['trainer']['precision']}, exported in float32: the last digits differ from the test"
        )
    with TemporaryDirectory() as made, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporters' own, about themselves
        path = Path(made) / FILES[kind]
        given = examples[torch.arange(7) % len(examples)]  # of one example alone the exporters would make a fixed size
        write, load = WAYS[kind]
        write(module, given, run.spec, path)
        loaded = load(path)
        parts = [examples, examples[:1], *([examples[:3, : examples.shape[1] // 2]] if run.spec.kind == "text" else [])]
        difference = max(apart(loaded(part), module(part)) for part in parts if part.numel())
        content = path.read_bytes()
    if not difference <= LIMIT:
        raise RuntimeError(f"what was exported and the network differ by {difference:.2g}: nothing is written")
    facts = described(run.spec, module, temperature)
    report = facts | {"largest_difference": difference, "examples": len(examples), "notes": notes}
    lines = [
        f"input   {facts['input']}",
        f"output  {facts['output']}",
        f"loaded again and compared with the network on {len(examples)} examples: largest difference {difference:.1e}",
        *(f"note: {note}" for note in notes),
    ]
    return Done(report, {FILES[kind]: lambda target: write_bytes(target, content)}, lines)


def test_examples(run: Rebuilt, cfg: Plain) -> tuple[Tensor, list[str]]:
    """Examples of the run's test split as they are stored, uint8 pixels or ids; random ones, and a note, without it."""
    spec = run.spec
    try:
        examples, _ = read_own(cfg, run).eval_batch("test", 0)
    except UserError as error:
        g, text = generator("export", cfg["seed"]), spec.kind == "text"
        drawn = torch.randint(spec.num_classes if text else 256, (EXAMPLES, *spec.input_shape), generator=g)
        return drawn if text else drawn.byte(), [f"compared on random input, because the data cannot be read: {error}"]
    examples = examples[:EXAMPLES]
    if spec.kind == "image":
        examples = (spec.pixels(examples) * 255).round().clamp(0, 255).byte()
    return examples, []


def sizes(spec: Spec) -> tuple[dict[int, Any]]:
    """Which sizes of the input are free: the number of examples and, for text, of characters up to a block."""
    block = spec.input_shape[0]
    length = {1: Dim("length", min=1, max=block)} if spec.kind == "text" and block > 1 else {}
    return ({0: Dim("batch"), **length},)


def write_onnx(module: Calibrated, examples: Tensor, spec: Spec, path: Path) -> None:
    program: Any = torch.onnx.export(
        module,
        (examples,),
        dynamo=True,
        dynamic_shapes=sizes(spec),
        input_names=[input_name(spec)],
        output_names=[output_name(module)],
        verbose=False,
    )
    program.save(str(path), external_data=False)


def load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime  # an extra

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def write_torch(module: Calibrated, examples: Tensor, spec: Spec, path: Path) -> None:
    torch.export.save(torch.export.export(module, (examples,), dynamic_shapes=sizes(spec)), path)


def load_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


WAYS = {"onnx": (write_onnx, load_onnx), "torch": (write_torch, load_torch)}


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a part of the value where that is above 1; infinite where one is not finite."""
    difference = ((one - other).abs() / other.abs().clamp_min(1)).max().item()
    return difference if difference == difference else float("inf")


def input_name(spec: Spec) -> str:
    return "ids" if spec.kind == "text" else "pixels"


def output_name(module: Calibrated) -> str:
    return "log_probs" if module.linked else "scores"


def described(spec: Spec, module: Calibrated, temperature: float | None) -> Plain:
    """What goes in and what comes out, for whoever has the file alone."""
    text, shape = spec.kind == "text", " x ".join(map(str, spec.input_shape))
    given = f"int64 (N, T <= {shape}): the places of characters in the list 'classes'" if text else None
    given = given or f"uint8 (N x {shape}): pixels 0 to 255; channels, height, width; standardised inside"
    calibrated = "no temperature" if temperature is None else f"calibrated by the temperature {temperature:.4g} inside"
    rows = "(N, T, K)" if text else "(N, K)"
    what = f"natural logarithms of probabilities, {calibrated}" if module.linked else "scores that are no probabilities"
    return {
        "input": f"{input_name(spec)}: {given}",
        "output": f"{output_name(module)}: {rows}, {what}; K = {spec.num_classes} classes",
        "classes": list(spec.class_names),
        "temperature": temperature,
    }
