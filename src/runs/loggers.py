"""Lightning's loggers of a run: TensorBoard's event files, Weights & Biases, MLflow."""

import hashlib
import os
from pathlib import Path

from pytorch_lightning.loggers import Logger

from ..callbacks.events import EventFiles
from ..config.loggers import chosen
from ..folder.folder import RunFolder
from ..metrics.columns import Family
from ..plain import Plain

TAG = "xent.folder"  # by which a resumed run is found at MLflow


def loggers(cfg: Plain, folder: RunFolder, family: Family, resumed_at: int | None, step_size: int) -> list[Logger]:
    """Those of ``logger=``; a run that is resumed at a step continues what is there, one trained anew begins anew."""
    found: list[Logger] = []
    for name in chosen(cfg["logger"]):
        if name == "tensorboard":
            unit = step_size if cfg["x_axis"] == "samples_seen" else 1
            found.append(EventFiles(folder.path, family, unit=unit, resumed_at=resumed_at))
        else:
            found.append({"wandb": wandb, "mlflow": mlflow}[name](cfg, folder, resumed_at is not None))
    return found


def one_id(folder: RunFolder) -> str:
    """What is the same for a run and for whatever resumes it: a hash of its folder's place."""
    return hashlib.sha256(str(folder.path.resolve()).encode()).hexdigest()[:16]


def wandb(cfg: Plain, folder: RunFolder, resumed: bool) -> Logger:
    from pytorch_lightning.loggers import WandbLogger

    home, name, seed = folder.path.parts[-3:]
    # by its folder: a run that is resumed is the same one there, one trained anew takes its place
    named: Plain = {"project": "xent", "group": home, "name": f"{name}/{seed}", "id": one_id(folder)}
    return WandbLogger(save_dir=folder.path, resume="allow" if resumed else None, **named)


def mlflow(cfg: Plain, folder: RunFolder, resumed: bool) -> Logger:
    """At MLFLOW_TRACKING_URI, or in mlflow.db in the folder of runs."""
    from mlflow import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

    home, name, seed = folder.path.parts[-3:]
    there = Path(cfg["runs"]).expanduser().resolve() / "mlflow.db"
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{there}"
    named: Plain = {"experiment_name": home, "tracking_uri": place, "tags": {TAG: one_id(folder)}}
    # asked of the client: the logger itself would begin a run
    client = MlflowClient(place)
    experiment = client.get_experiment_by_name(home) if resumed else None
    wanted = f"tags.`{TAG}` = '{one_id(folder)}'"
    same = client.search_runs([experiment.experiment_id], wanted) if experiment else []  # the latest first
    one: Plain = {"run_id": same[0].info.run_id} if same else {"run_name": f"{name}/{seed}"}
    return MLFlowLogger(**one, **named)
