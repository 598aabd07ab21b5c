"""Statistics on a real PostgreSQL: facts without personal data, each counted once, in the days of a time zone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from harness import World

from usercenter.clock import HeldClock
from usercenter.config.model import Analytics
from usercenter.events import (
    EVENTS,
    AnalyticsFact,
    Event,
    Registry,
    UserDeleted,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    encode,
    headers_of,
    new_id,
)
from usercenter.handlers.analytics import count_facts, publish_facts
from usercenter.messaging.batch import Received
from usercenter.messaging.groups import Context, Group, Schedule, record
from usercenter.messaging.router import Router
from usercenter.metrics import Metrics
from usercenter.users import statistics
from usercenter.users.pseudonyms import Pseudonyms

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(b"k" * 32)
ALL = (UserRegistered, UserLoggedIn, UserPasswordChanged, UserStatusChanged, UserUpdated, UserDeleted)
ABOUT = {"username": "ada.lovelace", "email": "ada@personal.example", "ip_address": "192.0.2.77"}


class Desk:
    """The two groups of the statistics, fed by hand."""

    def __init__(self, world: World, time_zone: str) -> None:
        self.world = world
        self.zone = time_zone
        context = Context(
            clock=HeldClock(NOON), services={Pseudonyms: PSEUDONYMS, Analytics: Analytics(time_zone=time_zone)}
        )
        publish = {event: (record(publish_facts),) for event in ALL}
        self._routers = {
            stream: Router(
                Group(name=stream, stream=stream, handlers=handlers),
                registry=Registry(EVENTS),
                database=world.database,
                context=context,
                config=world.config,
                schedule=Schedule(),
                metrics=Metrics(),
            )
            for stream, handlers in (
                ("user_events", publish),
                ("user_analytics", {AnalyticsFact: (record(count_facts),)}),
            )
        }
        self._offset = 0

    async def handle(self, events: Sequence[Event]) -> None:
        """One batch, as it comes from the topic of the events."""
        await self._routers[events[0].stream].handle([self._received(event) for event in events])

    async def facts(self) -> list[AnalyticsFact]:
        """What is on its way to `user.analytics`."""
        rows = await self.world.rows(
            "select payload from outbox where aggregatetype = 'user_analytics' order by position"
        )
        return [msgspec.json.decode(row[0], type=AnalyticsFact) for row in rows]

    async def days(self, metric: str, start: datetime, count: int) -> list[int]:
        async with self.world.database.transaction() as tx:
            end = start + timedelta(days=count)
            points = await statistics.series(tx, metric, start=start, end=end, step="day", time_zone=self.zone)
        return [point.value for point in points]

    def _received(self, event: Event) -> Received:
        self._offset += 1
        return received_of(event, self._offset)


def received_of(event: Event, offset: int) -> Received:
    return Received(event.stream, 0, offset, str(event.user_id).encode(), encode(event), headers_of(event))


def event(kind: type[Any], user_id: UUID, at: datetime = NOON, **own: Any) -> Any:
    about = {name: ABOUT[name] for name in ABOUT if name in kind.__struct_fields__}
    return kind(id=new_id(), timestamp=at, user_id=user_id, actor=str(user_id), sequence=1, **about, **own)


def all_six(user_id: UUID) -> list[Any]:
    return [
        event(UserRegistered, user_id, first_name="Augusta", last_name="King", locale="en"),
        event(UserLoggedIn, user_id, user_agent="Difference Engine/1"),
        event(UserPasswordChanged, user_id),
        event(UserStatusChanged, user_id, old_status="active", new_status="suspended", reason="asked by Augusta"),
        event(UserUpdated, user_id, changes={"first_name": "Augusta"}),
        event(UserDeleted, user_id, deleted_by=str(user_id)),
    ]


async def test_a_batch_that_comes_twice_is_counted_once(world: World):
    desk, events = Desk(world, "UTC"), all_six(uuid4())
    await desk.handle(events)
    await desk.handle(events)
    facts = await desk.facts()
    await desk.handle(facts)
    await desk.handle([*facts, *facts])

    assert len(facts) == 6
    for fact in facts:
        assert await desk.days(fact.metric, NOON - timedelta(hours=12), 1) == [1]
    assert await desk.days("active_users", NOON - timedelta(hours=12), 1) == [1]


async def test_no_fact_tells_who_it_was(world: World):
    user_id = uuid4()
    desk, events = Desk(world, "UTC"), all_six(user_id)
    await desk.handle(events)
    rows = await world.rows("select payload, headers::text, aggregateid from outbox")
    sent = " ".join(bytes(row[0]).decode() + row[1] + row[2] for row in rows)

    assert len(rows) == 6
    for word in (*ABOUT.values(), str(user_id), user_id.hex, "Augusta", "King", "Difference"):
        assert word not in sent
    assert not any(str(each.id) in sent for each in events)
    assert {row[2] for row in rows} == {str(PSEUDONYMS.of(user_id))}


async def test_days_begin_at_midnight_where_the_company_is(world: World):
    desk, user_id = Desk(world, "Asia/Shanghai"), uuid4()
    moments = [datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC), datetime(2026, 3, 2, 16, 0, tzinfo=UTC)]
    await desk.handle([event(UserLoggedIn, user_id, moment) for moment in moments])
    await desk.handle(await desk.facts())
    start = datetime(2026, 3, 1, 16, tzinfo=UTC)

    assert await desk.days("logins", start, 3) == [1, 1, 0]
    async with world.database.transaction() as tx:
        [first, *_] = await statistics.series(
            tx, "logins", start=NOON, end=NOON + timedelta(days=1), step="day", time_zone="Asia/Shanghai"
        )
    assert first.at == start


async def test_an_active_user_counts_once_a_day_however_often_they_come(world: World):
    desk, users = Desk(world, "UTC"), [uuid4() for _ in range(3)]
    logins = [event(UserLoggedIn, user, NOON + timedelta(hours=hour)) for user in users for hour in (0, 1, 1, 26)]
    await desk.handle(logins)
    await desk.handle(await desk.facts())

    assert await desk.days("logins", NOON - timedelta(hours=12), 3) == [9, 3, 0]
    assert await desk.days("active_users", NOON - timedelta(hours=12), 3) == [3, 3, 0]
    async with world.database.transaction() as tx:
        hours = await statistics.series(
            tx, "active_users", start=NOON, end=NOON + timedelta(hours=3), step="hour", time_zone="UTC"
        )
    assert [point.value for point in hours] == [3, 3, 0]


async def test_a_wrong_password_is_a_fact_too_and_unknown_names_are_one_nobody(world: World):
    body = world.registration("ada")
    async with world.service(roles=["api"]) as (_, client):
        await client.post("/api/v1/users/register", json=body)
        for name in ("ada", "nobody.here", "nobody.there"):
            answer = await client.post("/api/v1/users/login", json={"username": name, "password": "wrong one"})
            assert answer.status_code == 401
    desk = Desk(world, "UTC")
    facts = await desk.facts()
    await desk.handle(facts)

    assert [fact.metric for fact in facts] == ["login_failures"] * 3
    assert facts[0].user_id != facts[1].user_id == facts[2].user_id
    assert await world.value("select sum(value) from statistics where metric = 'login_failures' and step = 'day'") == 3
    assert await world.count("active_users") == 0
