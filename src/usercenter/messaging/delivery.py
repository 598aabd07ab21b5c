"""A batch on its way from the consumer's thread to the handler in the event loop, and the answer back."""

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from confluent_kafka import TopicPartition

from usercenter.db import DatabaseUnavailable, Signal, is_transient
from usercenter.messaging import commits
from usercenter.messaging.batch import Received
from usercenter.messaging.stops import Stopped

log = structlog.get_logger()

_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 10.0


class Delivery(NamedTuple):
    """One batch in the event loop's hands, as the thread sees it."""

    batch: Sequence[Received]
    future: concurrent.futures.Future[bool]

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end. One that was given up has ended only when its coroutine really has. Blocks."""
        return bool(concurrent.futures.wait([self.future], timeout=seconds).done)

    def give_up(self) -> None:
        """Cancel it; does nothing if it has ended. From any thread."""
        self.future.cancel()

    @property
    def was_given_up(self) -> bool:
        """Whether nobody knows if it was handled: it has to be read again."""
        return self.future.cancelled()

    @property
    def is_handled(self) -> bool:
        """Whether all of it is committed."""
        return self.future.done() and not self.future.cancelled() and self.future.result()

    def concerns(self, partitions: Sequence[TopicPartition]) -> bool:
        """Whether it has a message of one of these."""
        return not {(each.topic, each.partition) for each in partitions}.isdisjoint(self._first)

    def starts(self) -> list[TopicPartition]:
        """Where it begins on each partition."""
        return [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._first.items()]

    def ends(self, moment: datetime) -> list[TopicPartition]:
        """Where each partition goes on behind it, with the moment beside it (`messaging/commits.py`)."""
        last, text = {(each.topic, each.partition): each.offset for each in self.batch}, commits.note(moment)
        return [TopicPartition(topic, partition, offset + 1, text) for (topic, partition), offset in last.items()]

    @property
    def _first(self) -> dict[tuple[str, int], int]:
        return {(each.topic, each.partition): each.offset for each in reversed(self.batch)}


class Deliveries:
    """Gives batches to `handle`, each again and again until it is done."""

    def __init__(self, group: str, handle: Callable[[Sequence[Received]], Awaitable[None]]) -> None:
        self.problem: str | None = None
        """Why a batch waits; no data of its messages."""
        self._group = group
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._stop = Signal()

    def begin(self, batch: Sequence[Received]) -> Delivery:
        """Have a batch handled in the event loop; from the consumer's thread."""
        return Delivery(batch, asyncio.run_coroutine_threadsafe(self._handle_until_done(batch), self._loop))

    def stop(self) -> None:
        """Make no further attempt at what fails; from the event loop."""
        self._stop.set()

    async def _handle_until_done(self, batch: Sequence[Received]) -> bool:
        """Whether it is committed; not if we were told to stop before that."""
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                await self._handle(batch)
            except Exception as error:  # noqa: BLE001  # a batch is never skipped: it waits, and says why
                self._note(error, wait_seconds)
            else:
                self.problem = None
                return True
            if await self._stop.wait(wait_seconds):
                return False
            wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)

    def _note(self, error: Exception, wait_seconds: float) -> None:
        says_all = isinstance(error, (DatabaseUnavailable, Stopped))
        self.problem = f"a batch waits: {error if says_all else type(error).__name__}"
        facts = {"group": self._group, "error": self.problem, "next_attempt_in_seconds": wait_seconds}
        if is_transient(error) or isinstance(error, Stopped):
            log.warning("kafka.batch_waits", **facts)
        else:
            log.error("kafka.batch_waits", **facts, exc_info=error)
