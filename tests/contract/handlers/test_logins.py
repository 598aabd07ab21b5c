"""The handler of logins on a real PostgreSQL: one batch, one look at the history, each effect once."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from harness import World, execute
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from usercenter.clock import HeldClock
from usercenter.config.model import Logins, Mail
from usercenter.db import Transaction
from usercenter.events import UserLoggedIn, new_id
from usercenter.handlers.logins import write_login_log
from usercenter.messaging.groups import Context
from usercenter.notify.letters import render
from usercenter.users import guess_queries, logins, retention
from usercenter.users.guess_queries import Tried
from usercenter.users.places import Places

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOME, AWAY = "192.0.2.7", "198.51.100.9"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
CURL = "curl/8.5.0"
TRIED = Tried(name_hash=b"name", network_hash=b"network", network=HOME)


class Counting(Transaction):
    """A transaction that counts its statements."""

    statements = 0

    async def execute(self, *arguments: Any) -> Any:
        self.statements += 1
        return await super().execute(*arguments)

    async def send(self, *arguments: Any) -> None:
        self.statements += 1
        await super().send(*arguments)

    async def fetch_all(self, *arguments: Any) -> Any:
        self.statements += 1
        return await super().fetch_all(*arguments)


def login(user_id: UUID, hours: float, address: str = HOME, agent: str | None = None, **more: Any) -> UserLoggedIn:
    return UserLoggedIn(
        id=new_id(),
        timestamp=NOON + timedelta(hours=hours),
        user_id=user_id,
        username="ada",
        email="ada@example.com",
        ip_address=address,
        user_agent=agent or FIREFOX.format(140),
        **more,
    )


def context_of(places: Places | None = None, **settings: Any) -> Context:
    services = {Places: places or Places(), Logins: Logins(**settings)}
    return Context(clock=HeldClock(NOON), services=services)


async def handle(world: World, events: Sequence[UserLoggedIn], context: Context | None = None) -> int:
    """Handle a batch as the router does; returns how many statements it took."""
    async with world.database.transaction() as tx:
        counting = Counting(tx.connection)
        await write_login_log(events, counting, context or context_of())
    return counting.statements


async def open_session(world: World) -> tuple[UUID, UUID]:
    user_id, session_id = uuid4(), uuid4()
    async with world.database.transaction() as tx:
        await tx.execute(
            "insert into users (id, username, username_key, email, email_key, password_hash, sequence, created_at, "
            "updated_at) values (%s, 'ada', 'ada', 'ada@example.com', 'ada@example.com', '', 1, now(), now())",
            (user_id,),
        )
        await tx.execute(
            "insert into sessions (id, user_id, created_at, expires_at) values (%s, %s, now(), now())",
            (session_id, user_id),
        )
    return user_id, session_id


@pytest.fixture
def geoip_file(tmp_path: Path) -> str:
    """Home is in Berlin, away is in Tokyo; nothing else is in the world."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="test")
    for network, country, latitude, longitude in (("192.0.2.0/24", "DE", 52.5, 13.4), ("198.51.100.0/24", "JP", 35.7, 139.7)):  # fmt: skip  # noqa: E501
        record = {"country": {"iso_code": country}, "location": {"latitude": latitude, "longitude": longitude}}
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(tmp_path / "places.mmdb"))
    return str(tmp_path / "places.mmdb")


async def test_a_login_is_logged_with_device_and_country_in_words(world: World, geoip_file: str) -> None:
    await handle(world, [login(uuid4(), 0)], context_of(Places(geoip_file)))
    rows = await world.rows("select logged_in_at, ip_address, device, country, verdict, score, reasons from login_log")
    assert rows == [(NOON, HOME, "Firefox 140 on Linux", "DE", "ordinary", 0.0, [])]


async def test_what_a_login_is_compared_with_is_read_from_one_index_alone(world: World) -> None:
    users = [uuid4() for _ in range(100)]
    await handle(world, [login(user, hour) for hour in range(20) for user in users])
    execute(world.config.database.url, "vacuum (analyze) login_log")  # as autovacuum does it after a while

    async with world.database.transaction() as tx:
        found = await logins.earlier_logins(tx, users[:3])
        row = await tx.fetch_one(
            "select idx_scan, idx_tup_fetch, seq_scan from pg_stat_xact_user_tables where relname = 'login_log'"
        )

    assert {(each.ip_address, each.device, each.verdict) for each in found} == {
        (HOME, "Firefox 140 on Linux", "ordinary")
    }
    assert [each.last - each.since for each in found] == [timedelta(hours=19)] * 3
    assert row == (3, 0, 0)  # three looks into the index, no row of the table


async def test_an_address_that_is_none_does_not_keep_a_login_out_of_the_log(world: World) -> None:
    await handle(world, [login(uuid4(), 0, address=secrets.token_hex(5_000))])
    [(address,)] = await world.rows("select ip_address from login_log")
    assert len(address) == 64


async def test_a_suspicious_login_marks_its_session_and_asks_for_a_security_mail(world: World, geoip_file: str) -> None:
    user_id, session_id = await open_session(world)
    context = context_of(Places(geoip_file))
    await handle(world, [login(user_id, 0)], context)
    strange = login(user_id, 1, AWAY, CURL, session_id=session_id, request_id="request-7")
    await handle(world, [strange], context)

    assert await world.rows("select verdict, country from login_log order by logged_in_at desc limit 1") == [
        ("suspicious", "JP")
    ]
    assert await world.value("select is_suspicious from sessions")
    [(payload, type_)] = await world.rows("select payload, type from outbox")
    request = msgspec.json.decode(bytes(payload))
    assert type_ == "notification.requested"
    assert (request["template"], request["category"], request["to"]) == (
        "suspicious_login",
        "security",
        "ada@example.com",
    )
    assert (request["causation_id"], request["request_id"]) == (str(strange.id), "request-7")
    assert request["parameters"] == {
        "username": "ada",
        "when": "2026-03-02T13:00:00+00:00",
        "device": "curl 8",
        "ip_address": AWAY,
        "country": "JP",
        "reasons": [
            "a new device, in a network that you have not used before",
            "the first login from this country (JP)",
            "DE and JP are at least 8917 km apart, and 1 h 0 min between",
        ],
        "rules": ["new_device_and_network", "new_country", "unreachable"],
    }
    for locale in ("en", "zh-CN"):
        letter = render(request["template"], locale, request["parameters"], to="ada@example.com", mail=Mail())
        assert AWAY in letter.text


async def test_a_batch_that_comes_twice_has_its_effects_once(world: World) -> None:
    user_id, session_id = await open_session(world)
    batch = [login(user_id, 0), login(user_id, 1, AWAY, CURL, session_id=session_id)]
    await handle(world, batch)
    before = await world.rows("select * from login_log order by event_id")
    await handle(world, batch)
    assert await world.rows("select * from login_log order by event_id") == before
    assert await world.count("outbox") == 1


async def test_the_order_inside_a_batch_is_the_order_of_the_logins(world: World) -> None:
    user_id = uuid4()
    first, strange, again = login(user_id, 0), login(user_id, 1, AWAY, CURL), login(user_id, 2)
    await handle(world, [again, strange, first])
    assert dict(await world.rows("select event_id, verdict from login_log")) == {
        first.id: "ordinary",
        strange.id: "suspicious",
        again.id: "ordinary",
    }


async def test_a_thief_who_comes_again_is_suspicious_again_and_the_user_is_told_once(world: World) -> None:
    user_id = uuid4()
    await handle(world, [login(user_id, 0), login(user_id, 1, AWAY, CURL), login(user_id, 2, AWAY, CURL)])
    await handle(world, [login(user_id, 3, AWAY, CURL)])
    assert await world.rows("select verdict, count(*) from login_log group by 1 order by 1") == [
        ("ordinary", 1),
        ("suspicious", 3),
    ]
    assert await world.count("outbox") == 1
    await handle(world, [login(user_id, 26, AWAY, CURL)])
    assert await world.rows("select verdict from login_log order by logged_in_at desc limit 1") == [("ordinary",)]


async def test_users_are_not_judged_by_each_other(world: World) -> None:
    await handle(world, [login(uuid4(), 0), login(uuid4(), 1, AWAY, CURL)])
    assert await world.rows("select distinct verdict from login_log") == [("ordinary",)]


async def test_the_number_of_statements_does_not_grow_with_the_batch(world: World) -> None:
    users = [uuid4() for _ in range(100)]
    assert await handle(world, [login(user_id, 0) for user_id in users]) == 3
    assert await handle(world, [login(users[0], 1)]) == 3
    everybody_elsewhere = [login(user_id, 2, AWAY, CURL, session_id=uuid4()) for user_id in users]
    assert await handle(world, everybody_elsewhere) == 5
    assert await world.count("outbox") == 100


async def test_wrong_passwords_just_before_count_and_older_ones_do_not(world: World) -> None:
    early, late = uuid4(), uuid4()
    await handle(world, [login(early, 0), login(late, 0)])
    async with world.database.transaction() as tx:
        for minutes in range(5):
            at = NOON + timedelta(hours=10, minutes=minutes)
            await guess_queries.note(tx, TRIED, user_id=late, ip_address=HOME, now=at)
            await guess_queries.note(tx, TRIED, user_id=early, ip_address=HOME, now=at - timedelta(hours=1))
    await handle(world, [login(early, 10.1, AWAY), login(late, 10.1, AWAY)])
    rows = await world.rows("select user_id, verdict, reasons from login_log where ip_address = %s", AWAY)
    found = {user_id: (verdict, [reason["rule"] for reason in reasons]) for user_id, verdict, reasons in rows}
    assert found == {early: ("ordinary", []), late: ("suspicious", ["failures_before"])}


async def test_a_burst_from_one_address_is_seen_at_the_account_that_it_opens(world: World) -> None:
    victim = uuid4()
    await handle(world, [login(victim, 0)])
    async with world.database.transaction() as tx:
        for tried in (None, None, *(uuid4() for _ in range(4))):
            await guess_queries.note(tx, TRIED, user_id=tried, ip_address=AWAY, now=NOON + timedelta(hours=9.9))
    await handle(world, [login(victim, 10, AWAY)])
    [(reasons,)] = await world.rows("select reasons from login_log where ip_address = %s", AWAY)
    assert [(reason["rule"], "5 accounts" in reason["words"]) for reason in reasons] == [("burst", True)]


async def test_logins_requests_and_guesses_are_forgotten_when_their_time_is_over(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(
            "insert into login_log (event_id, user_id, logged_in_at) select gen_random_uuid(), gen_random_uuid(), "
            "now() - make_interval(days => n) from unnest(array[1, 364, 366, 367, 400]) n"
        )
        await tx.execute(
            "insert into reset_requests (network_hash, asked_at) "
            "select 'x', now() - make_interval(mins => n) from unnest(array[1, 59, 61]) n"
        )
        await tx.execute(
            "insert into password_guesses (name_hash, network_hash, guessed_at) "
            "select 'x', 'y', now() - make_interval(mins => n) from unnest(array[1, 14, 16]) n"
        )
    deleted = [await retention.forget_once(world.database, world.config, at_most=2) for _ in range(3)]

    assert deleted == [4, 1, 0]
    kept = [await world.count(table) for table in ("login_log", "reset_requests", "password_guesses")]
    assert kept == [2, 2, 2]


async def test_sessions_are_forgotten_a_while_after_they_could_have_been_used(world: World) -> None:
    user_id, _ = await open_session(world)
    async with world.database.transaction() as tx:
        await tx.execute("delete from sessions")
        await tx.execute(
            "insert into sessions (id, user_id, created_at, expires_at, ended_at) "
            "select gen_random_uuid(), %s, now(), now() - make_interval(days => n), case when n < 31 then now() end "
            "from unnest(array[-30, 1, 29, 31, 32, 400]) n",
            (user_id,),
        )
    deleted = [await retention.forget_once(world.database, world.config, at_most=2) for _ in range(3)]

    assert deleted == [2, 1, 0]
    assert await world.value("select min(expires_at) > now() - interval '30 days' from sessions")
    assert await world.count("sessions") == 3


async def test_failures_are_forgotten_in_bounded_steps(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(
            "insert into login_failures (failed_at) "
            "select now() - make_interval(hours => n) from generate_series(0, 9) n"
        )
        assert await logins.forget_failures(tx, hours=5, at_most=3) == 3
        assert await logins.forget_failures(tx, hours=5, at_most=3) == 1
        assert await logins.forget_failures(tx, hours=5, at_most=3) == 0
