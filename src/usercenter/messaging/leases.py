"""Who owns which shard: one mechanism for relays and task runners.

Every owner keeps one row alive (`lease_owners`, a heartbeat each second); a shard whose owner's heartbeat has run out
is free to be taken, and each taking raises its epoch. Owners hold about equal shares: a new one takes what others let
go. An owner trusts its lease only until a moment on its own monotonic clock, counted from *before* the heartbeat was
sent, so a process that was frozen past it stops by itself before it asks the database anything.

No lease is longer than ten minutes (`relay.lease_seconds`): an end further ahead was written before PostgreSQL's clock
was set back, and whoever wrote it and lives writes it anew within a second.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID, uuid4

import structlog

from usercenter.clock import Clock
from usercenter.db import Database, Transaction, is_transient
from usercenter.messaging.shards import SHARDS
from usercenter.metrics import Metrics

log = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 1.0
_TRUSTED_SHARE: Final = 0.8  # of the lease, so that the owner gives up before another one may take over


class Leases:
    """This process's share of the shards for one kind of work (`relay`, `tasks`)."""

    def __init__(self, kind: str, *, database: Database, clock: Clock, metrics: Metrics, lease_seconds: float) -> None:
        self.kind = kind
        self.owner: UUID = uuid4()
        self._database = database
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._gauge = metrics.leased_shards.labels(kind)
        self._shards: frozenset[int] = frozenset()
        self._trusted_until = 0.0
        self._busy: list[Callable[[], AbstractSet[int]]] = []
        self.changed = database.signal(f"leases.{kind}")

    def owned(self) -> frozenset[int]:
        """The shards that may be worked on right now; empty as soon as the lease cannot be trusted any more."""
        return self._shards if self._clock.monotonic() < self._trusted_until else frozenset()

    def is_ours(self, shard: int) -> bool:
        """Whether this shard may be worked on right now."""
        return shard in self._shards and self._clock.monotonic() < self._trusted_until

    def finish_before_release(self, busy: Callable[[], AbstractSet[int]]) -> None:
        """Name one more who tells which shards have work in hand: those are let go only when it is done."""
        self._busy.append(busy)

    async def keep(self) -> None:
        """Keep the heartbeat until cancelled. Survives an absent database: the lease runs out and is taken anew."""
        while True:
            try:
                await self.beat()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("leases.heartbeat_failed", kind=self.kind, error=error.__class__.__name__)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def beat(self) -> None:
        """One heartbeat: renew, then take or let go what a fair share asks for. One transaction."""
        started = self._clock.monotonic()
        async with self._database.transaction() as tx:
            await tx.execute(_RENEW, (self.kind, self.owner, self._lease_seconds))
            mine = await self._mine(tx)
            surplus = len(mine) - await self._fair_share(tx)
            if surplus > 0:
                mine = await self._let_go(tx, mine, surplus)
            elif surplus < 0:
                mine |= await self._take(tx, -surplus)
        self._trusted_until = started + self._lease_seconds * _TRUSTED_SHARE
        self._note(mine)

    async def release(self) -> None:
        """Give everything back, so that others need not wait for the lease to run out. May be called twice."""
        self._note(frozenset())
        async with self._database.transaction() as tx:
            await tx.execute("update leases set owner = null where kind = %s and owner = %s", (self.kind, self.owner))
            await tx.execute("delete from lease_owners where kind = %s and owner = %s", (self.kind, self.owner))

    async def _mine(self, tx: Transaction) -> frozenset[int]:
        await tx.execute(_ENSURE, (self.kind, SHARDS - 1, self.kind))
        rows = await tx.fetch_all("select shard from leases where kind = %s and owner = %s", (self.kind, self.owner))
        return frozenset(row[0] for row in rows)

    async def _fair_share(self, tx: Transaction) -> int:
        row = await tx.fetch_one(_ALIVE, (self.kind,))
        return -(-SHARDS // max(1, row[0] if row else 1))

    async def _let_go(self, tx: Transaction, mine: frozenset[int], surplus: int) -> frozenset[int]:
        leaving = frozenset(sorted(mine)[-surplus:])
        self._note(mine - leaving)  # no new work for them from here on
        done = list(leaving.difference(*(busy() for busy in self._busy)))
        await tx.execute(
            "update leases set owner = null where kind = %s and owner = %s and shard = any(%s)",
            (self.kind, self.owner, done),
        )
        return mine - leaving

    async def _take(self, tx: Transaction, wanted: int) -> frozenset[int]:
        await tx.execute(_FORGET_DEAD, (self.kind,))
        rows = await tx.fetch_all(_TAKE, (self.owner, self.kind, self.kind, wanted))
        return frozenset(row[0] for row in rows)

    def _note(self, shards: frozenset[int]) -> None:
        if shards == self._shards:
            return
        log.info("leases.changed", kind=self.kind, shards=len(shards))
        self._shards = shards
        self._gauge.set(len(shards))
        self.changed.set()


_RENEW: Final = """
insert into lease_owners (kind, owner, expires_at) values (%s, %s, clock_timestamp() + make_interval(secs => %s))
on conflict (kind, owner) do update set expires_at = excluded.expires_at
"""

_ENSURE: Final = """
insert into leases (kind, shard) select %s, n from generate_series(0, %s) n
where not exists (select 1 from leases where kind = %s) on conflict do nothing
"""

_FORGET_DEAD: Final = """
delete from lease_owners where ctid = any(array(
    select ctid from lease_owners where kind = %s
    and expires_at not between clock_timestamp() - interval '1 day' and clock_timestamp() + interval '1 day'
    for update skip locked
))
"""

_ALIVE: Final = """
select count(*) from lease_owners
where kind = %s and expires_at between clock_timestamp() and clock_timestamp() + interval '10 minutes'
"""

_TAKE: Final = """
update leases set owner = %s, epoch = epoch + 1
where kind = %s and shard in (
    select shard from leases l where kind = %s and not exists (
        select 1 from lease_owners o where o.kind = l.kind and o.owner = l.owner
        and o.expires_at between clock_timestamp() and clock_timestamp() + interval '10 minutes'
    ) order by shard limit %s for update skip locked
)
returning shard
"""
