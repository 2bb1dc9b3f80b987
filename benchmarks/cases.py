"""What is measured: each case's three sides and what is aimed at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A training that is written three times.

    The hand-written sides take ``steps`` steps, train.py twice as many: it compiles for training in its first steps and
    for evaluation in its first validation, which come before what is measured. Each is measured from ``measured_from``
    steps after a validation to the end of the next, ``steps`` after that validation; so each has the same steps, one
    validation, and xent and the usual way one checkpoint. ``log_every`` divides the steps at which xent's clock is
    read. ``bare`` and ``words`` carry the same switches, but for the MLP, whose aim is the bare loop that compiles
    nothing.
    """

    title: str
    root: str  # its folder within --data
    steps: int
    measured_from: int
    log_every: int
    words: tuple[str, ...]
    switched_steps: int  # of a round of benchmarks/switches.py
    bare: tuple[str, ...] = ()
    workers: tuple[int, ...] = ()  # of the usual way's DataLoader: the fastest of these is taken
    val_batches: int | None = None  # of a validation, at most: its share of the time is then that of a real run
    val_words: str = "the whole of the examples held out"
    at_least: float = 1.0  # times as fast as the usual way
    at_most: float = 1.0  # times the bare loop's time
    of_interval: bool = False  # at_most is of the interval's upper end
    evaluation_at_most: float | None = None  # upper end of an evaluation's time, in times of the logits'
    metrics_at_most: float = 0.05  # what an epoch's validation metrics add to its time, as a share
    gpu_words: tuple[str, ...] = ("trainer=gpu", "trainer.precision=bf16-mixed", "compile=reduce-overhead")


CASES = {
    "mnist_mlp": Case(
        title="MNIST, MLP 784-64-128-64-10 with BatchNorm, batch 128",
        root="",
        steps=429,
        measured_from=21,
        log_every=50,
        words=(
            *("data=mnist", "data.val_fraction=0.08333333333333333", "model=mlp", "model.widths=[64,128,64]"),
            *("model.batch_norm=true", "model.dropout=0", "optimizer=adamw", "scheduler=constant", "compile=true"),
        ),
        switched_steps=400,
        workers=(0, 2),
        at_least=10.0,
        at_most=1.3,
        metrics_at_most=0.15,
    ),
    "shakespeare_gpt": Case(
        title="tiny_shakespeare, nanoGPT's network for a CPU, batch 12 of 64 characters",
        root="",
        steps=250,
        measured_from=50,
        log_every=50,
        words=("experiment=shakespeare_char_cpu", "trainer.precision=bf16-mixed", "compile=true", "samples.count=0"),
        switched_steps=30,
        bare=("--bf16", "--compile"),
        val_batches=8,
        val_words="8 batches of 64 x 64 characters; the usual loop takes 40 of 12 x 64, by its custom from both parts",
        at_least=1.7,
        at_most=1.1,
        of_interval=True,
        evaluation_at_most=1.15,
    ),
    "cifar_resnet20": Case(
        title="CIFAR-10 as JPEG files, ResNet-20, batch 128",
        root="cifar10_jpeg",
        steps=40,
        measured_from=10,
        log_every=10,
        words=(
            *("data=image_folder", "model=resnet", "optimizer=sgd", "scheduler=constant"),
            *("trainer.precision=bf16-mixed", "compile=true"),
        ),
        switched_steps=4,
        bare=("--bf16", "--compile", "--channels-last"),
        workers=(0, 2),
        val_batches=1,
        val_words="1 batch of 1,000 images",
        at_least=2.9,
        at_most=1.1,
        of_interval=True,
        evaluation_at_most=1.15,
    ),
}
SWITCHES = (
    "trainer.precision=bf16-mixed",
    "compile=true",
    "--bf16",
    "--compile",
)  # of a case's words: speed=plain has none of them
WHOLE = "shakespeare_gpt"  # the case that is also trained to its end, once
WHOLE_STEPS, WHOLE_VAL_EVERY = 2000, 250
START_AT_MOST, SWEEP_AT_LEAST = 1.5, 2.0
SWEPT = "mnist_losses"
PUBLISHED = {
    "shakespeare_char": "validation nll 1.4697 in about 3 minutes on an A100 (nanoGPT's README)",
    "cifar10_fast": "test accuracy 94 % in 2.6 s on an A100 (a hand-written speed-run); aimed at: 15 s",
}
