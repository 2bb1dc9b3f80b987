"""How every command begins and ends: signals, streams and encoding from the first moment; a fault as one message.

Status: 0 done, 1 the run failed, 2 a mistake in the command, 130 Ctrl-C, 143 SIGTERM. Next to nothing is
imported up here, so that all of this holds while the rest is; of the standard library, too, only where it is used.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

# what is no fault of the command: a full disk, a broken one, a quota
MACHINE = ("ENOSPC", "EIO", "EDQUOT", "EROFS")


def start(main: Callable[[], int]) -> None:
    """Run ``main`` as this process's command, and end the process with its status."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, leave)
    open_streams()
    speak_utf8()
    sys.exit(guarded(main))


def leave(signum: int, frame: FrameType | None) -> None:
    """End at once. Nothing is written yet, and an exception could be lost in what is being imported."""
    os._exit(128 + signum)


def writing() -> None:
    """From here on a signal raises SystemExit, so that what is half-written can be cleaned up."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is leave:
            signal.signal(signum, stop)


def stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def open_streams() -> None:
    """Give the standard streams that are closed (``>&-``) something: the next file opened would take their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no '±' is no reason to end


def speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale is another: words, names and files would be misread."""
    import codecs
    import locale

    if not sys.flags.utf8_mode and codecs.lookup(locale.getencoding()).name != "utf-8":
        words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, words, os.environ | {"PYTHONUTF8": "1"})


def guarded(main: Callable[[], int]) -> int:
    """Run ``main`` and return its exit status; whatever ends it becomes one message on stderr and a status."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing in its own way
    for name in ("HYDRA_MAIN_MODULE", "HYDRA_DEPRECATION_WARNINGS_AS_ERRORS", "SELF_WARNING_AS_ERROR"):
        os.environ.pop(name, None)  # they change what Hydra composes, unseen
    # Read when torch is imported. By default a thread spins long for one whose core is busy, and so wastes its own. The
    # default run took, on two idle cores, 3.6 s (4.0 s with this, 6.6 s with OMP_WAIT_POLICY=PASSIVE), and beside two
    # other busy processes 11 s with this (116 s without, on a machine about as busy).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        os.getcwd()  # noqa: PTH109  it may be gone
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read stdout has gone (| head)
        discard_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return tell(error)


def tell(error: Exception) -> int:
    """Say on stderr, in one message, what ended a command; the exit status."""
    import contextlib
    import errno
    import re
    import time
    import traceback

    from .errors import printable
    from .message import message

    if os.environ.get("XENT_DEBUG") == "1":
        traceback.print_exc()
    text, status = message(error)
    text = re.sub(r"\S{501,}", lambda word: f"{word[0][:200]}...{word[0][-200:]}", text)  # a path of 100 kB
    if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in MACHINE:
        status = 1
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        discard_output()  # where it is stdout that is full, the interpreter's last flush would fail, too
    if status == 2 and os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        # rank 0 says the same, unless whoever started the ranks ends it first because this one ended; on a busy
        # machine its imports may take this much longer
        time.sleep(30)
        return 2
    with contextlib.suppress(OSError):
        print(f"xent: {printable(text)}", file=sys.stderr, flush=True)
    return status


def discard_output() -> None:
    """Have stdout go nowhere from here on."""
    import contextlib

    with contextlib.suppress(OSError, ValueError):  # a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
