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
        if (folder / LOCK_FILE).exists() and not _is_held(folder / LOCK_FILE):
            shutil.rmtree(folder, ignore_errors=True)


def _is_held(lock: Path) -> bool:
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)
