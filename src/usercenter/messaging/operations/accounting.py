"""The metric of events that are nowhere: the books of the last day, every few minutes, by one process of many.

Of `verify` this is the part that can be had without reading Kafka in full: the groups of user.events, whose events are
all in event_log. Kafka is read only where something is in neither inbox nor outbox, from the group's offset on.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import psycopg
import structlog

from usercenter.config.model import Config
from usercenter.db import Database, is_transient
from usercenter.events import Registry
from usercenter.messaging import turns
from usercenter.messaging.client import BrokerFailure
from usercenter.messaging.groups import Group
from usercenter.messaging.operations.verify import unaccounted
from usercenter.metrics import Metrics

log = structlog.get_logger()

_KIND: Final = "books"
_LOOK_SECONDS: Final = 5.0


class Accounting:
    """Counts when it is this process's turn, and shows the last count as a metric in any case."""

    def __init__(
        self, config: Config, *, database: Database, groups: Sequence[Group], registry: Registry, metrics: Metrics
    ) -> None:
        self._config = config
        self._settings = config.monitoring
        self._database = database
        self._groups = groups
        self._registry = registry
        self._metrics = metrics

    async def keep(self) -> None:
        """Until cancelled, not at once; with `monitoring.books_every_seconds: 0` there is nothing to do."""
        while self._settings.books_every_seconds:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.turn()
            except psycopg.errors.QueryCanceled:
                log.warning("books.took_too_long", next="lower monitoring.books_hours, or run `usercenter verify`")
            except BrokerFailure as error:
                log.warning("books.brokers_not_asked", error=error.args[0].str(), next="asked again at the next turn")
            except Exception as error:
                if not is_transient(error):
                    raise

    async def turn(self) -> bool:
        """Count if the last count is old enough, and show the last one; returns whether anything was counted."""
        every_seconds = self._settings.books_every_seconds
        async with self._database.transaction() as tx:
            moment = await turns.claim(tx, _KIND, every_seconds=every_seconds)
        if moment is not None:
            counts = await unaccounted(
                self._config,
                database=self._database,
                groups=self._groups,
                registry=self._registry,
                hours=self._settings.books_hours,
            )
            async with self._database.transaction() as tx:
                body = msgspec.json.encode(counts)
                await turns.keep(tx, _KIND, moment, body, kept_seconds=every_seconds * 3)
        async with self._database.transaction() as tx:
            self._show(await turns.seen(tx, _KIND, seconds=every_seconds * 3))
        return moment is not None

    def _show(self, seen: Sequence[str]) -> None:
        """A group whose count is not known, because it is too far behind, has no figure rather than a wrong one."""
        self._metrics.unaccounted.clear()
        if seen:
            for group, number in msgspec.json.decode(seen[-1], type=dict[str, int]).items():
                self._metrics.unaccounted.labels(group).set(number)
