"""What tests of the front door read beside its answers."""

import json
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from doorway import Lines


@pytest.fixture
def lines() -> Lines:
    """The lines that were written to the log file since the test began."""
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, RotatingFileHandler))
    file = Path(handler.baseFilename)
    start = file.stat().st_size if file.exists() else 0

    def read() -> list[dict[str, Any]]:
        with file.open("rb") as stream:
            stream.seek(start)
            return [json.loads(line) for line in stream]

    return read
