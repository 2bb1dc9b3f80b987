"""How the processes of jobs start: forked by one that has imported what they import, in milliseconds, or cold.

A forked job is a child of the launcher, in a session of its own, with its own output and environment: nothing but its
start tells it from a cold one. What forks it only imports: what a thread or a GPU's driver holds is lost in a fork.
"""

import atexit
import contextlib
import importlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self

from ..config.composed import Composed
from ..names import NAME
from ..system.garbage import uncollected
from ..system.lifetime import adopt_orphans, end_with, running

LARGEST_REQUEST = 1 << 20  # bytes of a request: more than a socket takes at once


class Forked:
    """A job that was forked, with what the launcher needs of a subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | Any = None  # as subprocess has it

    def poll(self) -> int | None:
        """Its exit status once it has ended, negative for a signal; None before."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, signum: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signum)


Process = subprocess.Popen[bytes] | Forked


class Warm:
    """Starts jobs. The process that forks them starts with ``begin``, or the first, and ends with the ``with``."""

    def __init__(self, command: Sequence[str], modules: Sequence[str]) -> None:
        """``modules`` are imported once. ``command``: the module whose ``main`` a job calls, and its first words."""
        self.command, self.modules = command, modules
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = self.gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.requests.close()
            self.process.kill()
            self.process.wait()
            self.process, self.is_ready, self.gone = None, False, False

    def ready(self) -> bool:
        """Whether a job can start; False while the process that is to fork it imports."""
        self.begin()
        if not (self.is_ready or self.gone):
            try:
                self.is_ready = bool(self.requests.recv(1, socket.MSG_DONTWAIT))
                self.gone = not self.is_ready
            except BlockingIOError:
                pass
            except ConnectionError:
                self.gone = True
        return self.is_ready or self.gone

    def begin(self) -> None:
        """Start the process that forks jobs, if it has not started."""
        if self.process is not None or self.gone:
            return
        if not adopt_orphans():
            self.gone = True
            return
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        with theirs:
            self.process = subprocess.Popen(
                running(".sweep.start", str(launcher), json.dumps(self.command), *self.modules),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ,
                start_new_session=True,
                preexec_fn=lambda: end_with(launcher),
            )

    def start(
        self,
        words: Sequence[str],
        output: IO[bytes],
        environment: Mapping[str, str],
        composed: Composed | None = None,
    ) -> Process:
        """Start a job with ``words``: forked, or cold where that cannot be.

        ``composed`` is what the words compose to, so that a forked job need not compose them again.
        """
        pid = b""
        if not self.gone:
            request = pickle.dumps((list(words), dict(environment), composed))
            with contextlib.suppress(OSError):
                socket.send_fds(self.requests, [request], [output.fileno()])
                pid = self.requests.recv(100)
            self.gone = not pid
        return Forked(int(pid)) if pid else self.start_cold(words, output, environment)

    def start_cold(self, words: Sequence[str], output: IO[bytes], environment: Mapping[str, str]) -> Process:
        """Start a job with ``words`` as a process of its own."""
        launcher = os.getpid()
        return subprocess.Popen(
            running(*self.command, *words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # a terminal's Ctrl-C comes through the launcher alone, once
            preexec_fn=lambda: end_with(launcher),
        )


def main(words: Sequence[str]) -> None:
    """The process itself. ``words``: the launcher, the jobs' command as JSON, and the modules to import.

    Its standard input is a socket: a request is a list of words, what to change in the environment, what the words
    compose to, and a file for the output; the answer is the job's process id.
    """
    launcher, command, *modules = words
    requests = socket.socket(fileno=os.dup(0))
    ended: list[int] = []
    atexit.register(end_at_once, ended)  # the first to be registered is the last to be called
    with uncollected():
        for module in modules:
            importlib.import_module(module, NAME)
    requests.send(b"!")
    job, *first = json.loads(command)
    words, composed = serve(requests, int(launcher))
    try:
        importlib.import_module(job, NAME).main([*first, *words], composed)
    except SystemExit as end:
        if isinstance(end.code, int):
            ended.append(end.code)
        raise


def end_at_once(ended: Sequence[int]) -> None:
    """End a job with its exit status: its threads have ended, and what was to be done at the end is done.

    All that is left is to free every object, one by one. In a fork that first copies the pages that they lie on: a
    third of a second of the 2.7 that a run of mnist_losses took.
    """
    if ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


def serve(requests: socket.socket, launcher: int) -> tuple[list[str], Composed | None]:
    """Fork a job for each request; returns in the jobs only, with their words and what these compose to."""
    pids, pid = os.pipe()
    while True:
        try:
            request, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 1)
        except ConnectionError:  # the launcher has ended before it read that this process is ready
            os._exit(0)
        if not request:
            os._exit(0)
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if job := os.fork():  # an orphan's next parent is the launcher
                os.write(pid, str(job).encode())
                os._exit(0)
            words, environment, composed = pickle.loads(request)
            become_job(files[0], environment)
            for file in (pids, pid, requests.detach()):
                os.close(file)
            while os.getppid() == between:
                time.sleep(0.0005)
            end_with(launcher)
            return words, composed
        os.close(files[0])
        _, status = os.waitpid(between, 0)
        requests.send(os.read(pids, 100) if status == 0 else b"")


def become_job(output: int, environment: Mapping[str, str]) -> None:
    """What subprocess.Popen does for a process of its own."""
    os.setsid()
    os.environ.update(environment)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
