"""Which rank of which run a process is, as whoever started it says."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..config.errors import UserError


@dataclass(frozen=True)
class Started:
    """A rank that somebody else started."""

    rank: int
    world: int
    local_rank: int
    by: str

    @classmethod
    def find(cls, env: Mapping[str, str]) -> "Started | None":
        """As torchrun's or srun's variables say; None where this process was started alone."""
        if "RANK" in env and "WORLD_SIZE" in env:
            for key in ("MASTER_ADDR", "MASTER_PORT"):
                if key not in env:
                    raise UserError(f"RANK and WORLD_SIZE are set in the environment, {key} is not: take torchrun")
            rank, world, local_rank = (int_of(env, key) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
            return cls(rank, world, local_rank, "torchrun")
        if int_of(env, "SLURM_STEP_NUM_TASKS") > 1:
            keys = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
            rank, world, local_rank = (int_of(env, key) for key in keys)
            return cls(rank, world, local_rank, "srun")
        return None


def int_of(env: Mapping[str, str], key: str) -> int:
    """A variable of whoever starts ranks; 0 where there is none. Raises UserError."""
    value = env.get(key, "0")
    if not value.isdecimal():
        raise UserError(f"{key}={value!r} in the environment is no number, and says which of several processes this is")
    return int(value)
