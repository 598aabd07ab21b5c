"""Where a result was measured: without this, a figure says nothing."""

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import argon2
import confluent_kafka
import psutil  # type: ignore[import-untyped]

from bench.ground import Grounds
from usercenter.embedded.data_dir import Versions

_HASHES: Final = 9
_PACKAGES: Final = ("usercenter", "confluent-kafka", "psycopg", "msgspec", "uvloop")
_PROMISES: Final = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")


async def facts(grounds: Grounds, folder: Path) -> dict[str, Any]:
    """The machine, the versions, and the settings that durability hangs on, as PostgreSQL itself tells them."""
    return {
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "filesystem": filesystem_of(folder),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "python": " ".join(sys.version.split()),  # with its build: one without optimisation is slower (docs/tuning.md)
        "packages": {name: version(name) for name in _PACKAGES},
        "librdkafka": confluent_kafka.libversion()[0],
        "kafka": Versions().kafka,
        "postgresql": await _promises(grounds),
        "acks": grounds.config.kafka.producer.acks,
    }


def hash_ms() -> float:
    """How fast the machine is at this moment: the median time of nine argon2id hashes, one after the other.

    19 MiB, two rounds, one lane. It tells a slow day from a fast one and does not measure by how much all else was
    slower: on 2026-11-28 a hash took 1.6 times as long as four days before, and other work 2 to 3 times.
    """
    hasher, times = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1), []
    for _ in range(_HASHES):
        began = time.perf_counter()
        hasher.hash("correct horse battery staple")
        times.append(time.perf_counter() - began)
    return round(median(times) * 1000, 1)


def filesystem_of(folder: Path) -> str:
    """The type of the file system that holds the folder: on one in memory, durability costs nothing."""
    mounts = [each for each in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(each.mountpoint)]
    return str(max(mounts, key=lambda each: len(each.mountpoint)).fstype) if mounts else "unknown"


async def _promises(grounds: Grounds) -> dict[str, str]:
    async with grounds.fresh() as ground, ground.database.transaction() as tx:
        rows = await tx.fetch_all("select name, setting from pg_settings where name = any(%s)", (list(_PROMISES),))
    return {str(name): str(value) for name, value in rows}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
