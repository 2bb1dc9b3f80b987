"""The ranks of a run: found where torchrun or srun started them, else started here, and watched until the end."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import torch.distributed as dist
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from ..config import trust
from ..config.errors import UserError
from ..plain import Plain
from ..system.lifetime import end_with, running
from . import ranks
from .started import Started, int_of

PARENT = "XENT_FIRST_RANK"  # in a started rank's environment: the process that started it
GRACE = 5.0  # seconds in which a fault may be told by who met it
MEETING = timedelta(minutes=5)  # in which the last rank must have come; on a busy machine imports take a minute
TROUBLE = "trouble"  # the store's key for what stopped a rank


class LostRankError(Exception):
    """Another rank ended, or never came. The message says which, and why as far as it is known."""


class Team:
    """The ranks of one run, as one of them sees them; of a run without a strategy there is one, and nothing to do.

    Rank 0 decides and writes. The others ``follow``: they wait for what it tells them. Where nobody started them, rank
    0 does, once all is checked; they end with it, whatever ends it. Rank 0's ``with`` lets go those that wait.
    """

    def __init__(self, trainer: Plain, device: str) -> None:
        """Raises UserError where the settings do not fit what was started."""
        self.device, self.devices = device, trainer["devices"]
        self.world: int = self.devices * trainer["num_nodes"]
        self.distributed = trainer["strategy"] is not None
        started = Started.find(os.environ)
        self.outside = started is not None and (self.distributed or started.by == "torchrun")
        self.rank = started.rank if started and self.outside else 0
        if started and self.outside:
            self._check(started)
        elif trainer["num_nodes"] > 1:
            raise UserError(
                "trainer.num_nodes > 1: start this command by torchrun or srun on every node (docs/scale.md)"
            )
        self.store: Any = None  # a dict that all ranks see
        self.children: list[subprocess.Popen[bytes]] = []
        self.order_given = self.broken = False
        self.over = threading.Event()
        self.watcher: threading.Thread | None = None

    def _check(self, started: Started) -> None:
        if not self.distributed:
            if started.world > 1:
                raise UserError(f"{started.by} started {started.world} processes, this run is of one: add trainer=ddp")
        elif started.world != self.world or started.rank % self.devices != started.local_rank:
            raise UserError(
                f"{started.by} started {started.world} processes (this: rank {started.rank}, number"
                f" {started.local_rank} of its node), but trainer.devices x trainer.num_nodes ="
                f" {self.devices} x {self.world // self.devices} processes are asked for, nodes one after the other"
            )

    def __enter__(self) -> Self:
        if self.outside and self.distributed:
            try:
                self.join()
            except LostRankError as error:
                raise UserError(str(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over.set()
        if self.watcher is not None:
            self.watcher.join()  # it may not be in torch's code when the interpreter ends
        if self.store is not None and not self.order_given:
            ranks.told(None)
        deadline = time.monotonic() + GRACE
        for child in self.children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.store is not None and not self.broken:
            dist.destroy_process_group()

    def join(self) -> None:
        """Meet the other ranks. Raises LostRankError where one of them does not come."""
        try:
            self._meet()
        except dist.DistError as error:
            raise LostRankError(f"the ranks did not meet: {str(error).splitlines()[0]}") from error

    def _meet(self) -> None:
        if self.outside:
            if "SLURM_STEP_NODELIST" in os.environ:
                nodes, job = os.environ["SLURM_STEP_NODELIST"], os.environ.get("SLURM_JOB_ID", "0")
                os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
                os.environ.setdefault("MASTER_PORT", str(15000 + int(job[-4:])))
            theirs = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun has one itself
            self.store = self._store(
                os.environ["MASTER_ADDR"], int_of(os.environ, "MASTER_PORT"), self.rank == 0 and not theirs
            )
        self.store.set(f"here/{self.rank}", "")
        if self.rank == 0:
            self._await()
        # one group for both: objects go between CPUs, gradients between GPUs
        backend = "gloo" if self.device == "cpu" else "cpu:gloo,cuda:nccl"
        group = dist.PrefixStore("group", self.store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=group, rank=self.rank, world_size=self.world)

    def _store(self, address: str, port: int, here: bool) -> Any:
        """A connection to the dict that all ranks see, and where ``here``, the dict."""
        return dist.TCPStore(  # type: ignore[attr-defined]
            address, port, self.world, is_master=here, wait_for_workers=False, timeout=MEETING
        )

    def _await(self) -> None:
        """Wait for the other ranks in small steps, for a look at how they are in between.

        What torch waits with holds the store, and hears no Ctrl-C.
        """
        deadline = time.monotonic() + MEETING.total_seconds()
        missing = set(range(1, self.world))
        while missing := {rank for rank in missing if not self.store.check([f"here/{rank}"])}:
            if reason := self._trouble(self.store):
                raise LostRankError(f"{reason} before it had met the others")
            if time.monotonic() > deadline:
                ranks_missing = ", ".join(map(str, sorted(missing)))
                raise LostRankError(
                    f"of the ranks, {ranks_missing} did not come within {MEETING.seconds // 60} minutes"
                )
            time.sleep(0.05)

    def start(self, order: Any, lost: Callable[[str], None]) -> None:
        """Start the other ranks if nobody did, and give all of them ``order``.

        Should one end badly, and this one not notice (it may wait for it for ever), ``lost`` is called with the reason,
        and the process ends with status 1.
        """
        if not self.distributed:
            return
        if not self.outside:
            self._launch()
        self.watcher = threading.Thread(target=self._watch, args=(lost, self.store.clone()), daemon=True)
        self.watcher.start()
        if not self.outside:
            self.join()
        self.order_given = True
        ranks.told((order, trust.named()))

    def _launch(self) -> None:
        store = self._store("127.0.0.1", 0, True)
        self.store = store
        for rank in range(1, self.world):
            own = {
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.world)},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), PARENT: str(os.getpid())},
            }
            # a session of their own: the terminal's Ctrl-C is for rank 0, which tells them
            self.children.append(
                subprocess.Popen(
                    running(".runs.follow", self.device, str(self.devices)),
                    env=os.environ | own,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )

    def _watch(self, lost: Callable[[str], None], store: Any) -> None:
        """Look after the other ranks, by a connection of its own: the main thread may wait with the other for ever."""
        while not self.over.wait(0.5):
            try:
                reason = self._trouble(store)
            except dist.DistError:
                return  # the store's own process is gone, and with it all that could be told
            # the main thread notices by itself, unless it waits for the lost one
            if reason is None or self.over.wait(GRACE):
                continue
            for child in self.children:
                child.kill()
            # the main thread may hold what ``lost`` needs, such as the log's lock
            threading.Timer(GRACE, os._exit, [1]).start()
            lost(reason)
            os._exit(1)

    def _trouble(self, store: Any) -> str | None:
        """What stopped another rank; None as long as nothing is known."""
        if store.check([TROUBLE]):
            return store.get(TROUBLE).decode()
        codes = {rank: child.poll() for rank, child in enumerate(self.children, 1)}
        for rank, code in codes.items():
            if code is not None and code < 0:
                return f"rank {rank} was killed by {signal.Signals(-code).name}"
        early = not self.order_given  # with nothing done
        return next(
            (f"rank {rank} ended with status {code}" for rank, code in codes.items() if code or (early and code == 0)),
            None,
        )

    def give_up(self, error: Exception) -> str:
        """End the other ranks; what stopped the run: ``error``, or what ended the rank that it only says is gone."""
        self.broken = self.order_given = True
        reason = self._reason(error)
        self.over.set()
        for child in self.children:
            child.kill()
        return reason

    def _reason(self, error: Exception) -> str:
        if isinstance(error, LostRankError):
            return str(error)
        text = f"{type(error).__name__}: {error}"
        if not self.distributed or not lost_touch(error):
            return text
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if found := self._trouble(self.store):
                return found
            time.sleep(0.1)
        return f"another rank is gone ({text.splitlines()[0]})"

    def report(self, error: BaseException) -> None:
        """Tell rank 0 what stopped this rank; the first to tell is heard."""
        if self.store is not None and not lost_touch(error):
            self.store.compare_set(TROUBLE, "", f"rank {self.rank}: {type(error).__name__}: {error}")


def lost_touch(error: BaseException) -> bool:
    """Whether an error comes from another rank's end rather than from this one."""
    text = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in ("gloo", "Connection closed by peer", "NCCL"))
    )


def end_with_parent() -> None:
    """A started rank ends when rank 0 does, even by SIGKILL."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    end_with(int(parent))
