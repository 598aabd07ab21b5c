"""A small disk of our own (tmpfs), for what happens when a disk is full."""

import contextlib
import errno
import subprocess
from pathlib import Path

_FILLER = "filler"
_CHUNK_BYTES = 65_536


class Volume:
    """A mounted tmpfs at `path`; needs root, as on CI. Where it cannot be mounted, `problem` says why."""

    def __init__(self, path: Path, *, megabytes: int) -> None:
        self.path = path
        self.problem = ""
        path.mkdir(parents=True, exist_ok=True)
        options = ("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "usercenter-test", str(path))
        done = subprocess.run(["mount", *options], capture_output=True, check=False)  # noqa: S603, S607
        if done.returncode:
            self.problem = f"a small disk cannot be mounted here: {done.stderr.decode().strip()}; run the tests as root"

    def fill(self) -> None:
        """Take every byte that is left."""
        assert not self.problem, self.problem
        size = _CHUNK_BYTES
        with (self.path / _FILLER).open("ab", buffering=0) as file:
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def make_room(self) -> None:
        """Give back what `fill` took."""
        (self.path / _FILLER).unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it; what still uses it keeps it alive until it ends."""
        if not self.problem:
            with contextlib.suppress(FileNotFoundError):
                subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, check=False)  # noqa: S603, S607
