"""Runs one server and ends it when the process that asked for it is gone, however it went.

A program of its own, with the standard library alone:

    python -I -S guard.py STOP_SIGNAL GRACE_SECONDS UID GID -- COMMAND…    (UID -1: stay who we are)

It writes the server's pid to stdout, gives it its stderr as a log, and obeys its stdin:

    end of file    the asker closed the pipe or died: stop signal, then SIGKILL after the grace
    b"k"           SIGKILL at once

SIGTERM counts as an end of file. Exits with the server's exit code (128 + n where signal n ended it).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Start the server, obey stdin, and wait for the server's end."""
    options, command = arguments[:4], arguments[5:]
    stop_signal, grace_seconds, uid, gid = (int(option) for option in options)
    server = start(command, stop_signal, uid, gid)
    signal.signal(signal.SIGTERM, on_stop(server.pid, stop_signal, grace_seconds))
    signal.signal(signal.SIGALRM, lambda *_: send(server.pid, signal.SIGKILL))
    print(server.pid, flush=True)  # noqa: T201 - the pid is this program's output
    threading.Thread(target=obey, args=(server.pid,), daemon=True).start()
    code = server.wait()
    return code if code >= 0 else 128 - code


def start(command: list[str], death_signal: int, uid: int, gid: int) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, as the user asked for."""
    as_user = {"user": uid, "group": gid, "extra_groups": []} if uid >= 0 else {}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]  # noqa: S603 - the asker's command
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
        start_new_session=True,
        preexec_fn=dying_with_me(death_signal),  # noqa: PLW1509 - no thread exists yet
        **as_user,
    )


def dying_with_me(death_signal: int) -> Callable[[], None] | None:
    """On Linux the kernel ends the server even if this guard is killed; elsewhere nothing does."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, death_signal)


def on_stop(pid: int, stop_signal: int, grace_seconds: int) -> Callable[[int, FrameType | None], None]:
    """What SIGTERM does: ask the server to stop (also if it is frozen), and set the alarm that ends it."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        send(pid, stop_signal)
        send(pid, signal.SIGCONT)
        signal.alarm(grace_seconds)

    return stop


def obey(pid: int) -> None:
    """Follow stdin until its end."""
    while order := os.read(0, 1):
        if order == b"k":
            send(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)


def send(pid: int, number: int) -> None:
    """Signal the server's process group, if it still exists."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
