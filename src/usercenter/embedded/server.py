"""What the three embedded servers share: a port, a guarded process, a log, and a start that ends in a real answer."""

import asyncio
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import structlog

from usercenter.embedded import ports
from usercenter.embedded.errors import PartUnavailable
from usercenter.embedded.processes import GuardedProcess, Owner

log = structlog.get_logger()

START_SECONDS = 60
POLL_SECONDS = 0.03
LOG_BYTES = 10_000_000
LOG_TAIL_LINES = 10
COMPLAINT = re.compile(r"\b(ERROR|FATAL)\b|Exception|[Ee]rror:")
PORT_TAKEN = "ddress already in use"
"""All three servers say so in their log."""


class Server(ABC):
    """One server on 127.0.0.1 with its data in `directory`; started again, it has the same port and data."""

    name: ClassVar[str]
    usual_port: int
    setting: ClassVar[str]
    """The key of the config that names a server of one's own instead."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, *, lock: int) -> None:
        self.directory = directory
        self.port = 0
        self._lock = lock
        self._log_start = 0
        self._owner = Owner()
        self._process: GuardedProcess | None = None
        self._watch: asyncio.Task[None] | None = None

    @abstractmethod
    async def prepare(self) -> None:
        """Make what the first start needs; called before every start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line for `self.port`; writes its configuration file if it has one."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether this very server answers a real request now."""

    @property
    def log_file(self) -> Path:
        """Where the server's own output goes."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The server's process; 0 where it does not run."""
        return self._process.pid if self._process is not None and self.is_running else 0

    @property
    def is_running(self) -> bool:
        """Whether its process was started by us and has not ended."""
        return self._process is not None and self._process.exit_code is None

    async def start(self) -> None:
        """Start and wait until it answers; nothing where it already runs. Raises PartUnavailable."""
        if self.is_running:
            return
        await self.stop()  # what is left of a server that ended by itself
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._turn_log_over()
        await self.prepare()
        await self._start_on(ports.candidates(self.usual_port) if not self.port else [self.port])

    async def stop(self) -> None:
        """Stop in good order and wait for it; nothing where it does not run."""
        if process := self._let_go():
            await process.stop()

    async def kill(self) -> None:
        """End it as a crash would, without a word; nothing where it does not run."""
        if process := self._let_go():
            await process.kill()

    def freeze(self) -> None:
        """Stop answering while keeping every connection open, as a machine that hangs would."""
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        if self._process is not None:
            self._process.thaw()

    async def run_to_end(self, command: list[str]) -> None:
        """Run a one-off command of this part, its output in the log. Raises PartUnavailable where it fails."""
        process = await self._spawn(command)
        try:
            code = await process.wait()
        finally:
            await process.stop()
        if code:
            raise self.unavailable(f"`{Path(command[0]).name}` failed with exit code {code}.{self._log_tail()}")

    def unavailable(self, reason: str) -> PartUnavailable:
        """The error that says so, with what to do."""
        return PartUnavailable(
            self.name, reason, f"Its log is {self.log_file}. Or set {self.setting} to a server of your own."
        )

    async def _start_on(self, candidates: Iterable[int]) -> None:
        """Try port after port, as long as the port is what stands in the way."""
        tail = ""
        for port in candidates:
            is_first_start, self.port = not self.port, port
            if await self._is_up():
                return
            tail = self._log_tail()
            self.port = 0 if is_first_start else port
            if PORT_TAKEN not in self._last_words():
                break
            log.info("embedded.port_taken", part=self.name, port=port)
        raise self.unavailable(f"it ended while starting.{tail}")

    async def _is_up(self) -> bool:
        """Start once on `self.port`; False where the server ended instead of answering."""
        process = await self._spawn(self.command())
        try:
            async with asyncio.timeout(START_SECONDS):
                is_up = await self._is_answering(process)
        except TimeoutError:
            await process.stop()
            raise self.unavailable(f"it gave no answer within {START_SECONDS} s.{self._log_tail()}") from None
        except BaseException:
            await process.stop()
            raise
        if is_up:
            self._process = process
            self._watch = asyncio.create_task(self._tell_its_end(process))
        return is_up

    async def _is_answering(self, process: GuardedProcess) -> bool:
        while process.exit_code is None:
            if await self.answers():
                return True
            await asyncio.sleep(POLL_SECONDS)
        await process.stop()
        return False

    async def _spawn(self, command: list[str]) -> GuardedProcess:
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        return await GuardedProcess.start(
            command,
            log=self.log_file,
            directory=self.directory,
            stop_signal=self.stop_signal,
            owner=self._owner,
            kept_open=(self._lock,),
        )

    async def _tell_its_end(self, process: GuardedProcess) -> None:
        """Log when the server ends without having been asked to."""
        code = await process.wait()
        log.error("embedded.part_ended", part=self.name, exit_code=code, log_file=str(self.log_file))

    def _let_go(self) -> GuardedProcess | None:
        process, self._process = self._process, None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        return process

    def _turn_log_over(self) -> None:
        """Keep the log from growing for ever: the old one stays as server.log.1."""
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    def _log_tail(self) -> str:
        """The end of what it wrote, or of what it complained about, for the error message."""
        lines = self._last_words().splitlines()
        complaints = [line for line in lines if COMPLAINT.search(line)]
        return "".join(f"\n    {line}" for line in (complaints or lines)[-LOG_TAIL_LINES:])

    def _last_words(self) -> str:
        """What the server wrote to its log since its last start."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")
