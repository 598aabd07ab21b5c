"""The jars of Apache Kafka: a pinned list, fetched once per user, and checked by sha256 at every start.

`kafka-4.3.1.jars` has one `group:artifact:version sha256` a line: the runtime tree of `kafka_2.13` and `kafka-tools`
and a logger, without Kafka Connect and its web server.
"""

import asyncio
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from usercenter.embedded import packages
from usercenter.embedded.errors import PartUnavailable

VERSION = "4.3.1"
LIST = Path(__file__).with_name(f"kafka-{VERSION}.jars")
SIZE_MB = 46
THREADS = 8
TRIES = 3
PART = "Apache Kafka"


class Jar(NamedTuple):
    """One line of the list."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


class Cancelled(Exception):
    """Nobody waits for the jars any more."""


def pinned() -> list[Jar]:
    """The list, in order."""
    lines = LIST.read_text(encoding="utf-8").replace(":", " ").splitlines()
    return [Jar._make(line.split()) for line in lines]


def cache_dir() -> Path:
    """Where this user keeps the jars, for all projects and data directories."""
    return platformdirs.user_cache_path("usercenter") / f"kafka-{VERSION}"


async def fetch(announce: Callable[[str], None]) -> list[Path]:
    """As `fetch_blocking`, beside the event loop; a cancelled fetch stops after the files in hand."""
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(fetch_blocking, announce, cancelled)
    finally:
        cancelled.set()


def fetch_blocking(announce: Callable[[str], None], cancelled: threading.Event | None = None) -> list[Path]:
    """The paths of all jars, each with the right content. Raises PartUnavailable where one cannot be had.

    What is missing is fetched with a progress bar on stderr. Blocks; several processes may do it at once.
    """
    jars, folder = pinned(), cache_dir()
    missing = [jar for jar in jars if not _is_right(folder / jar.file_name, jar)]
    if missing:
        announce(f"Fetching {PART} {VERSION} once: {len(missing)} files, about {SIZE_MB} MB, kept in {folder}")
        _fetch_all(missing, folder, cancelled or threading.Event())
    return [folder / jar.file_name for jar in jars]


def _fetch_all(jars: list[Jar], folder: Path, cancelled: threading.Event) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as staging:
            _fetch_into(Path(staging), jars, folder, cancelled)
    except (OSError, RuntimeError) as error:
        raise _unavailable(error, folder) from error


def _fetch_into(staging: Path, jars: list[Jar], folder: Path, cancelled: threading.Event) -> None:
    with ThreadPoolExecutor(THREADS) as pool, _progress(len(jars)) as advance:
        futures = [pool.submit(_fetch_one, jar, staging, folder, cancelled) for jar in jars]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        finally:
            cancelled.set()
            pool.shutdown(cancel_futures=True)


def _fetch_one(jar: Jar, staging: Path, folder: Path, cancelled: threading.Event) -> None:
    """Fetch one jar, and move it to its place once its content is right; tried TRIES times."""
    for attempt in range(1, TRIES + 1):
        if cancelled.is_set():
            raise Cancelled
        try:
            fetched = _download(jar, staging / f"{jar.file_name}.{attempt}")
        except (OSError, RuntimeError):
            if attempt == TRIES:
                raise
            continue
        if _is_right(fetched, jar):
            shutil.move(fetched, folder / jar.file_name)
            return
    raise RuntimeError(f"{jar.file_name} arrives with another content than the pinned one (sha256 differs)")


def _download(jar: Jar, repository: Path) -> Path:
    maven = packages.load("jgo.maven", part=PART, setting="kafka.brokers")
    context = maven.MavenContext(repo_cache=repository)
    return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())


def _is_right(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar over the files on stderr; gives the function that moves it by one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{PART} {VERSION}", total=total)
        yield lambda: progress.advance(task)


def _unavailable(error: Exception, folder: Path) -> PartUnavailable:
    return PartUnavailable(
        PART,
        f"its jars cannot be fetched from Maven Central ({error}).",
        "Check the network (HTTPS_PROXY is honoured) and start again: what has arrived is kept. "
        "Or run Kafka by compose, or anywhere else, and set kafka.brokers. "
        f"Or copy {folder} from a machine that has it.",
    )
