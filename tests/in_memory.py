"""The data of a test run in memory, where the machine has enough: a database is copied there in a tenth of the time."""

import fcntl
import os
import shutil
from pathlib import Path

from usercenter.embedded.data_dir import LOCK_FILE

PREFIX = "usercenter-parts-"
_MEMORY = Path("/dev/shm")  # noqa: S108  # for folders of our own in it
_ENOUGH_BYTES = 4_000_000_000
"""Ten times what a run needs."""


def place() -> Path | None:
    """Where to make such a folder; None: wherever temporary files are."""
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None
    except OSError:
        return None


def clear_away(place: Path = _MEMORY) -> None:
    """Remove what runs that were killed have left: nobody holds the lock in such a folder any more."""
    for folder in place.glob(f"{PREFIX}*"):
        if _is_over(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_over(folder: Path) -> bool:
    """Whether a run was here and has ended; of one whose lock cannot be opened nobody knows."""
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:  # it has just begun, has just gone, or is another user's
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)
