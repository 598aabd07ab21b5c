"""One set of parts for the tests of a file that do not break it for good."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from usercenter.config.model import Config, Embedded, EmbeddedKafka
from usercenter.embedded.parts import Running, running


@pytest_asyncio.fixture(scope="module")
async def parts() -> AsyncIterator[Running]:
    # Not pytest's own folder: each other pytest of root that starts closes it to PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="usercenter-parts-") as folder:
        embedded = Embedded(is_enabled=True, data_dir=folder, kafka=EmbeddedKafka(heap_mb=192))
        async with running(Config(embedded=embedded), announce=print) as running_parts:
            yield running_parts


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that starts the parts it is asked for, prints "pids" and their processes, and waits for the end.

    Arguments: the data directory, then the addresses of Kafka and PostgreSQL (empty: embedded).
    """
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


PROGRAM = """
import asyncio, sys
from usercenter.config.model import Config, Database, Embedded, EmbeddedKafka, Kafka
from usercenter.embedded.parts import running

async def main(data_dir, brokers="", database_url=""):
    config = Config(
        embedded=Embedded(is_enabled=True, data_dir=data_dir, kafka=EmbeddedKafka(heap_mb=192)),
        kafka=Kafka(brokers=[brokers] if brokers else []),
        database=Database(url=database_url),
    )
    async with running(config, announce=lambda line: None) as parts:
        brokers = parts.kafka.members if parts.kafka else ()
        servers = [server for server in (parts.postgres, *brokers, parts.valkey) if server]
        print("pids", *[server.pid for server in servers], flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
