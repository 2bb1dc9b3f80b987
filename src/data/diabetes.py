"""How far diabetes has come a year later, from ten measurements."""

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checks import integer
from .base import DataError, generator
from .values import Examples, Given, ValueData

FOLDS = 5
PATIENTS, FEATURES = 442, 10


class Diabetes(ValueData):
    """442 patients: age, sex, body mass index, blood pressure, six blood values; how far the disease is a year later.

    The target is a score from 25 to 346 without a unit. There is no official test set, so ``fold`` 0 to 4 says which
    fifth is the test, of a fixed random order; the other four fifths train and validate.
    Source: Efron et al. 2004, Least angle regression, Annals of Statistics 32, section 1; the numbers come with the
    package scikit-learn.
    """

    kind = "table"
    name = "diabetes"
    low, high = 25.0, 346.0

    def __init__(self, *, fold: int, **kwargs: float) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.fold = integer("fold", fold, low=0, high=FOLDS - 1)

    def read(self) -> Given:
        features, values = table("diabetes_data_raw"), table("diabetes_target").squeeze(-1)
        if features.shape != (PATIENTS, FEATURES) or values.shape != (PATIENTS,):
            raise DataError("scikit-learn's diabetes data have another size than 442 x 10; install scikit-learn again")
        place = torch.randperm(PATIENTS, generator=generator("folds", self.split_seed))
        test = torch.zeros(PATIENTS, dtype=torch.bool)
        test[place[self.fold :: FOLDS]] = True
        return Given(
            *(Examples(features[part], values[part], torch.zeros(int(part.sum())).long()) for part in (~test, test))
        )


def table(name: str) -> Tensor:
    """(rows, columns) float64 of scikit-learn's file of this name. scikit-learn is not imported: that takes seconds."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError(
            "diabetes comes with the package scikit-learn, which is not installed: pip install scikit-learn"
        )
    path = Path(spec.origin).parent / "datasets" / "data" / f"{name}.csv.gz"
    try:
        return torch.from_numpy(np.loadtxt(path, np.float64, ndmin=2))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path} is missing or damaged ({error}); install scikit-learn again") from error
