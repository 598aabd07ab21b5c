"""A desk with letters on it."""

from typing import Any

import pytest
from harness import World
from msgspec.structs import replace
from receiving import REGISTRY, TOPIC, Desk, Effects, messages

from usercenter.events import Event, UserLoggedIn
from usercenter.messaging.groups import Group, PermanentFailure
from usercenter.messaging.operations import letter_queries
from usercenter.messaging.operations.returns import Returns
from usercenter.messaging.operations.selection import Action, Filter, Selection


class Office(Desk):
    """A desk whose handlers are broken until they are mended, and an operator who looks after the letters."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        patient = replace(self.config.limits, dead_in_a_row=10**6, window_events=10**6, parked_users=10**6)
        self.config = replace(self.config, limits=patient)  # here everything may fail, and no group stops itself
        self.done = Effects()

    @staticmethod
    def of_logins(*handlers: Any) -> Group:
        """The only group here."""
        return Group("usercenter", "user_events", {UserLoggedIn: handlers})

    def breaks(self, *events: Event) -> None:
        """Every handler fails for good, for these events or for all."""
        ids = {event.id for event in events}
        self.done.fails = lambda _, event: (
            PermanentFailure("no such address: ada@example.com") if not ids or event.id in ids else None
        )

    def mended(self) -> None:
        """From now on the handlers do their work."""
        self.done.fails = lambda handler, event: None

    async def die(self, group: Group, *events: Event) -> None:
        """Let these events become letters of this group's handlers."""
        self.breaks(*events)
        await self.router(group).handle(messages(*events))
        await self.all_done(group)
        self.mended()

    def returns(self, *groups: Group) -> Returns:
        """What gives letters back to the handlers of these groups."""
        return Returns(groups=groups, registry=REGISTRY, streams={TOPIC: "user_events"}, context=self.context)

    async def select(self, action: Action = "retry", **facts: Any) -> Selection:
        """The open letters, as a dry run freezes them."""
        async with self.world.database.transaction() as tx:
            return await letter_queries.freeze(tx, action, Filter(**facts))

    async def everything(self) -> dict[str, list[Any]]:
        """Every row of every table."""
        tables = await self.world.rows("select tablename from pg_tables where schemaname = 'public' order by 1")
        return {
            table: [row[0] for row in await self.world.rows(f"select t::text from {table} t order by 1")]  # noqa: S608
            for (table,) in tables
        }


@pytest.fixture
async def office(world: World) -> Office:
    office = Office(world)
    await office.open()
    return office
