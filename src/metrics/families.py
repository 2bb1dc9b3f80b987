"""The families of tasks and their columns, without torch. A new family adds its own here."""

import math
from dataclasses import replace

from .columns import BINNED, Column, Family

LEAST = -1e9  # of what has no lower bound: JSON has no infinity
CALIBRATED = ("be", "better calibrated", "worse calibrated")
ACCURACY = Column("accuracy", 1, judged=True, high=1, share=True, phrase=("be", "more accurate", "less accurate"))
NLL = Column("nll", judged=True, unit="nats", phrase=("have", "a lower nll", "a higher nll"))
PERPLEXITY = Column("perplexity", source="nll", exponential=True)
BRIER = Column("brier", judged=True, high=2)
LEFT = ("leave", "less nll after recalibration", "more nll after recalibration")
SPLIT = (  # of nll and brier, into what the best recalibration takes away and what it leaves
    Column("nll_calibration", unit="nats", low=LEAST),
    Column("nll_refinement", judged=True, unit="nats", phrase=LEFT),
    Column("brier_calibration", low=-2, high=2),
    Column("brier_refinement", high=2),
)
CALIBRATION = (
    Column("ece", judged=True, high=1, phrase=CALIBRATED, gap=BINNED),
    Column("smooth_ece", high=1),
    Column("classwise_ece", high=1),
    Column("overconfidence", 0, low=-1, high=1),
    Column("temperature", 0),
    Column("nll_ts", unit="nats"),
    Column("brier_ts", high=2),
    Column("ece_ts", judged=True, high=1, phrase=CALIBRATED, after="ece", gap=("confidence_ts", "accuracy")),
)
UNDRAWN = ("bits", "mce")  # bits is nll / ln 2; mce is mostly the noise of the bin with the fewest examples

CLASSIFICATION = Family(
    "classification",
    (
        ACCURACY,
        replace(NLL, parts=("nll_calibration", "nll_refinement")),
        PERPLEXITY,
        replace(BRIER, parts=("brier_calibration", "brier_refinement")),
        *SPLIT,
        *CALIBRATION,
    ),
    chooses=("nll", "accuracy"),
    keeps="accuracy",
    shown=("accuracy", "nll"),
    charts=("nll", "accuracy", "ece", "brier"),
    against=("accuracy", "ece"),
    undrawn=UNDRAWN,
    baseline="ce",
)
LANGUAGE = replace(
    CLASSIFICATION,
    name="language",
    columns=(
        *(ACCURACY, NLL, PERPLEXITY),
        Column("bits_per_char", unit="bits", source="nll", factor=1 / math.log(2)),
        *(BRIER, *CALIBRATION),
    ),
    keeps="nll",
    charts=("nll", "bits_per_char", "perplexity", "ece"),
)
MADE = ("samples", "Images made of the same latents")  # by GeneratingTask
PAIRS = ("covered", "precise", "kernel_gap", "compared_pairs")  # of a real image, and of one that was made beside it
REAL = "real images"  # in the place of made ones
LIKENESS = (  # of made images to real ones, by a judge's features
    Column(
        "coverage",
        1,
        judged=True,
        high=1,
        share=True,
        phrase=("cover", "more of the real images", "fewer of the real images"),
        ratio=("covered", "compared_pairs"),
    ),
    Column(
        "kernel_distance",
        judged=True,
        low=LEAST,
        phrase=("have", "a lower kernel distance", "a higher kernel distance"),
        ratio=("kernel_gap", "compared_pairs"),
    ),
    Column("sample_precision", 1, high=1, share=True, ratio=("precise", "compared_pairs")),
    Column("frechet_distance"),
    Column("class_kl", unit="nats"),
    Column("memorised", 0, high=1),
)
LATENT = Family(
    "latent",
    (
        Column("nll", judged=True, unit="nats", phrase=NLL.phrase, low=LEAST),
        Column("bits_per_dim", unit="bits", low=LEAST),
        Column("negative_elbo", unit="nats", low=LEAST),
        Column("reconstruction", 0, unit="nats", low=LEAST),
        Column("kl", 0, unit="nats"),
        Column("active_units", 0),
        *LIKENESS,
    ),
    chooses=("nll",),
    keeps="nll",
    shown=("nll", "kl"),
    charts=("nll", "kl", "reconstruction", "negative_elbo"),
    against=("kl", "reconstruction"),
    baseline="elbo",
    face=MADE,
    ceilings=(REAL,),
)
GENERATION = Family(
    "generation",
    (*LIKENESS, Column("told_apart", 0, high=1, share=True)),
    chooses=("coverage",),
    keeps="coverage",
    shown=("coverage", "kernel_distance"),
    charts=("coverage", "kernel_distance", "sample_precision", "told_apart"),
    against=("sample_precision", "coverage"),
    undrawn=PAIRS,
    baseline="gan",
    face=MADE,
    ceilings=(REAL,),
)
RETRIEVAL = Family(
    "retrieval",
    (
        Column(
            "unseen_recall_at_1",
            1,
            judged=True,
            high=1,
            phrase=("find", "more of the unseen captions", "fewer of the unseen captions"),
            ratio=("unseen_at_1", "unseen"),
        ),
        Column("seen_recall_at_1", 1, judged=True, high=1, ratio=("seen_at_1", "seen")),
        Column("recall_at_1", 1, high=1, share=True),
        Column("recall_at_5", 1, high=1, share=True),
        Column("text_recall_at_1", 1, high=1),
        Column("text_recall_at_5", 1, high=1),
        Column("word_accuracy", 1, high=1),
        Column("nll", judged=True, unit="nats", phrase=NLL.phrase),
        Column("ece", judged=True, high=1, phrase=CALIBRATED, gap=("confidence", "recall_at_1")),
        Column("scale", 0),
        Column("bias", 0, low=LEAST),
    ),
    chooses=("recall_at_1",),  # of all captions: the unseen ones of a validation are few
    keeps="recall_at_1",
    shown=("unseen_recall_at_1", "seen_recall_at_1", "nll"),
    charts=("unseen_recall_at_1", "seen_recall_at_1", "nll", "scale"),
    against=("unseen_recall_at_1", "ece"),
    undrawn=("confidence", "seen", "unseen", "seen_at_1", "unseen_at_1"),
    baseline="clip",
)

CONTRASTIVE = Family(
    "contrastive",
    (
        Column("probe", 1, judged=True, high=1, share=True, phrase=("have", "a better probe", "a worse probe")),
        Column("probe10", 1, judged=True, high=1, share=True),
        Column("knn", 1, judged=True, high=1, share=True),
        Column("nll", judged=True, unit="nats"),
        Column("brier", high=2),
        Column("ece", judged=True, high=1, gap=("confidence", "probe")),
        Column("alignment", 0, high=4),
        Column("uniformity", 0, low=-4, high=0),
        Column("effective_rank", 0),
        Column("pair_accuracy", 0, high=1),
        Column("information_bound", 0, unit="nats", low=LEAST),
    ),
    chooses=("knn",),
    keeps="knn",
    shown=("probe", "knn", "pair_accuracy"),
    charts=("knn", "pair_accuracy", "alignment"),
    against=("alignment", "uniformity"),
    baseline="nt_xent",
)
SEQUENCE = Family(
    "sequence",
    (
        Column(
            "cer", judged=True, phrase=("read", "with fewer errors", "with more errors"), ratio=("edits", "characters")
        ),
        Column("nll", judged=True, unit="nats", phrase=NLL.phrase),
        Column("nll_per_character", unit="nats", ratio=("nll", "characters")),
        Column("sequence_accuracy", 1, high=1, share=True),
        Column("beam_cer"),
        Column("beam_accuracy", 1, high=1),
        Column("ece", high=1, gap=("confidence", "sequence_accuracy")),
        Column("overconfidence", 0, low=-1, high=1),
        Column("blank_share", 0, high=1),
        *(
            Column(f"{kind[:-1]}_rate", ratio=(kind, "characters"))
            for kind in ("substitutions", "deletions", "insertions")
        ),
        Column("infeasible", high=1, share=True),
    ),
    chooses=("cer",),
    keeps="cer",
    shown=("cer", "sequence_accuracy", "blank_share"),
    charts=("cer", "nll", "sequence_accuracy", "blank_share"),
    against=("cer", "ece"),
    undrawn=("substitutions", "deletions", "insertions", "characters"),
    baseline="ctc",
)

DIFFUSION = Family(
    "diffusion",
    (
        Column("bits_per_dim", judged=True, unit="bits", phrase=("need", "fewer bits", "more bits")),
        Column("diffusion_bits", unit="bits"),
        Column("reconstruction_bits", unit="bits"),
        Column("prior_bits", unit="bits"),
        Column("noise_mse"),
        *LIKENESS,
    ),
    chooses=("bits_per_dim",),
    keeps="bits_per_dim",
    shown=("bits_per_dim", "noise_mse"),
    charts=("bits_per_dim", "diffusion_bits", "reconstruction_bits", "noise_mse"),
    against=("diffusion_bits", "reconstruction_bits"),
    baseline="denoising",
    face=MADE,
    ceilings=(REAL,),
)


def regression(unit: str = "") -> Family:
    """The family of regression, for targets of this unit. nll is that of a density, which may be above 1."""
    return Family(
        "regression",
        (
            Column("crps", judged=True, unit=unit, phrase=("have", "a lower crps", "a higher crps")),
            Column("nll", unit="nats", low=LEAST),
            Column("mae", judged=True, unit=unit),
            Column("rmse", judged=True, unit=unit, source="squared_error", root=True),
            Column("median_error", unit=unit),
            Column("r2", 1, low=LEAST, high=1),
            Column("coverage", 0, high=1, share=True),
            Column("width", 0, unit=unit),
            Column("squared_error", unit=f"{unit}²" if unit else ""),
        ),
        chooses=("crps",),
        keeps="crps",
        shown=("crps", "rmse"),
        charts=("crps", "mae", "rmse", "coverage"),
        against=("crps", "coverage"),
        undrawn=("squared_error",),
        baseline="mse",
    )


FAMILIES = {
    family.name: family
    for family in (
        *(CLASSIFICATION, LANGUAGE, LATENT, DIFFUSION, GENERATION, CONTRASTIVE, RETRIEVAL, SEQUENCE),
        regression(),
    )
}
