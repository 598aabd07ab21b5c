"""What an application carries, and what it does not."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = "from usercenter.api.app import _MsgspecAlone as application; application([])"


def test_pydantic_is_not_loaded_where_others_have_installed_it(tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("raise RuntimeError('it is loaded')")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()
