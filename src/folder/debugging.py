"""Which runs are for debugging: they show whether something works, or where the time goes, and are no results."""

from ..plain import Plain

FOLDER = "debug"  # below the folder of runs: where they lie, so that results are among results only
FEWER = ("overfit_batches", "limit_train_batches", "limit_eval_batches")  # of trainer: less data than the others have


def debugging(cfg: Plain, choices: Plain) -> str:
    """What makes a run of this configuration one for debugging, as it is typed: "debug=overfit"; "" if nothing does.

    ``cfg`` and ``choices`` may be what a run's folder holds, of any types.
    """
    trainer = cfg.get("trainer")
    settings = trainer if isinstance(trainer, dict) else {}
    if choices.get("debug"):
        return f"debug={choices['debug']}"
    if choices.get("trainer") == "smoke":
        return "trainer=smoke"
    limits = (f"trainer.{key}={settings[key]}" for key in FEWER if settings.get(key) is not None)
    return next(limits, "profiler=true" if cfg.get("profiler") else "")
