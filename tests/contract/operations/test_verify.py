"""Verify on a real system: silent while all is well, and each kind of damage is named."""

import asyncio
from uuid import UUID

import msgspec
import pytest
from harness import World, eventually
from wire import registered, write

from usercenter.events import EVENTS, Registry, encode, new_id
from usercenter.handlers import groups
from usercenter.messaging import outbox
from usercenter.messaging.operations.accounting import Accounting
from usercenter.messaging.operations.report import Finding, Report
from usercenter.messaging.operations.verify import unaccounted, verify
from usercenter.metrics import Metrics


async def look(world: World, *, reads_kafka: bool = True, is_whole: bool = False, after: float = 300) -> Report:
    """Verify with the product's own groups."""
    return await verify(
        world.config,
        database=world.database,
        groups=groups(world.config.kafka),
        registry=Registry(EVENTS),
        stuck_after_seconds=after,
        reads_kafka=reads_kafka,
        reads_whole_topic=is_whole,
    )


def found(report: Report, words: str) -> Finding:
    """The one finding with these words."""
    (finding,) = [each for each in report.findings if words in each.what]
    return finding


async def execute(world: World, statement: str, *parameters: object) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(statement, parameters)  # type: ignore[arg-type]


async def quiet(world: World) -> None:
    """Wait until nothing is on its way."""
    names = {group.name for group in groups(world.config.kafka)}

    async def waiting() -> object:
        report = await look(world)
        left = sum(book.waiting for book in report.books)
        return report if left == 0 and {book.group for book in report.books} == names else None

    await eventually(waiting, what="the end of all work")


@pytest.fixture
async def lived(world: World) -> UUID:
    """A system in which one user has registered and logged in, stopped when all that follows is done; the user's id."""
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")  # what came before their start, they need not have
        answer = await client.post("/api/v1/users/register", json=world.registration("ada"))
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})
        await quiet(world)
    return UUID(answer.json()["user"]["id"])


async def test_on_a_system_that_works_nothing_is_found_and_the_books_balance(world: World, lived: UUID) -> None:
    report = await look(world, is_whole=True)

    assert report.findings == []
    assert report.is_fine
    mark = world.config.kafka.group_id
    assert {book.group: (book.committed, book.handled) for book in report.books} == {
        mark: (2, 2),
        f"{mark}.webhooks": (2, 2),
        f"{mark}.notifications": (1, 1),
        f"{mark}.analytics": (2, 2),
    }


async def test_while_events_are_committed_and_carried_nothing_is_missing(world: World) -> None:
    async with world.service() as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"))

        async def log_in() -> None:
            for _ in range(40):
                await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})

        logins = asyncio.create_task(log_in())
        reports = []
        while not logins.done():
            reports.append(await look(world, is_whole=True))
        await logins

    assert reports
    assert [each.findings for each in reports if not each.is_fine] == []
    for book in (book for report in reports for book in report.books):
        assert book.committed == book.handled + book.waiting + book.parked + book.dead


async def test_an_event_that_no_consumer_has_read_yet_waits_on_kafka(world: World, lived: UUID) -> None:
    async with world.service(roles=["api", "relay"]) as (_, client):
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})
        await eventually(lambda: world.count("outbox"), lambda n: n == 0, what="an empty outbox")

        report = await look(world)
        blind = await look(world, reads_kafka=False)

    assert report.is_fine
    assert [(book.waiting, book.missing) for book in report.books] == [(1, 0), (1, 0), (0, 0), (0, 0)]
    assert [(book.waiting, book.unproven) for book in blind.books] == [(1, 1), (1, 1)]
    assert len(blind.notes) == 3


async def test_an_event_that_a_group_has_passed_without_handling_it_is_missing(world: World, lived: UUID) -> None:
    group, event = world.config.kafka.group_id, await world.value("select id from event_log where sequence = 2")
    await execute(world, "delete from inbox where group_name = %s and event_id = %s", group, event)
    await execute(world, "delete from login_log where event_id = %s", event)

    report = await look(world)

    assert not report.is_fine
    assert found(report, f"committed for {group} that").examples == [str(event)]
    book = report.books[0]
    assert (book.committed, book.handled, book.missing) == (2, 1, 1)


async def test_an_event_that_left_the_outbox_without_reaching_kafka_is_missing(world: World, lived: UUID) -> None:
    async with world.service(roles=["api"]) as (_, client):
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})
    await execute(world, "delete from outbox")

    report = await look(world)

    event = await world.value("select id::text from event_log where sequence = 3")
    assert [(each.count, each.examples) for each in report.findings] == [(1, [event]), (1, [event])]
    assert [book.missing for book in report.books] == [1, 1, 0, 0]


async def test_a_notification_that_its_group_has_passed_without_handling_it_is_missing(
    world: World, lived: UUID
) -> None:
    await execute(world, "delete from inbox where group_name like %s", "%.notifications")

    report = await look(world)

    assert [book.missing for book in report.books] == [0, 0, 1, 0]
    assert found(report, "notifications that").count == 1


async def test_an_effect_that_is_gone_is_named_with_its_event(world: World, lived: UUID) -> None:
    await execute(world, "delete from login_log")
    await execute(world, "delete from user_settings")
    await execute(world, "update last_logins set logged_in_at = logged_in_at - interval '1 day'")

    report = await look(world)

    ids = dict(await world.rows("select type, id::text from event_log"))
    assert found(report, "write_login_log").examples == [ids["user.logged_in"]]
    assert found(report, "create_settings").examples == [ids["user.registered"]]
    assert found(report, "remember_last_login").examples == [ids["user.logged_in"]]
    assert {each.invariant for each in report.findings} == {"effect once"}


async def test_an_erased_user_is_no_finding_and_a_deletion_without_receipt_is_one(world: World, lived: UUID) -> None:
    async with world.service() as (_, client):
        token = (await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})).json()
        await client.request(
            "DELETE",
            "/api/v1/users/me",
            headers={"Authorization": f"Bearer {token['token']}"},
            json={"password": "password123"},
        )
        await eventually(lambda: world.count("erasures"), what="the receipt")
        await quiet(world)
    assert (await look(world, is_whole=True)).findings == []

    await execute(world, "delete from erasures")

    assert found(await look(world), "purge_personal_data").count == 1


async def test_a_gap_in_a_users_sequence_is_found(world: World, lived: UUID) -> None:
    await execute(world, "delete from event_log where sequence = 1")

    report = await look(world, is_whole=True)

    assert found(report, "not 1 to n").examples == [str(lived)]
    assert found(report, "in our name").count == 1


async def test_a_change_without_its_event_is_found(world: World, lived: UUID) -> None:
    await execute(world, "update users set sequence = 3")

    assert found(await look(world), "whose version is not").examples == [str(lived)]


async def test_a_message_that_somebody_forged_is_found(world: World, lived: UUID) -> None:
    forged = registered(new_id())
    await write(world.config.kafka, [(str(forged.user_id), encode(forged))])

    assert (await look(world)).is_fine
    report = await look(world, is_whole=True)

    assert found(report, "in our name").examples == [str(forged.id)]


async def test_an_event_of_another_producer_is_not_forged(world: World, lived: UUID) -> None:
    foreign = msgspec.structs.replace(registered(new_id()), source="legacy")
    async with world.service():
        await write(world.config.kafka, [(str(foreign.user_id), encode(foreign)), ("x", b"not an event")])
        seen = "select count(*) from inbox where event_id = %s"
        await eventually(lambda: world.value(seen, foreign.id), lambda n: n == 2, what="it in two inboxes")
        await eventually(lambda: world.count("dead_letters"), what="the dead letter of the other one")
        await quiet(world)

    assert (await look(world, is_whole=True)).findings == []


async def test_an_inbox_row_that_nothing_explains_is_found(world: World, lived: UUID) -> None:
    invented, group = new_id(), world.config.kafka.group_id
    await execute(world, "insert into inbox (group_name, event_id) values (%s, %s)", group, invented)

    assert found(await look(world, is_whole=True), f"inbox of {group}").examples == [str(invented)]


async def test_events_that_came_to_kafka_in_the_wrong_order_are_found(world: World, lived: UUID) -> None:
    user = new_id()
    late, early = registered(user, 2), registered(user, 1)
    async with world.database.transaction() as tx:
        await outbox.add(tx, early, late)
        await tx.execute("delete from outbox")
    await write(world.config.kafka, [(str(user), encode(each)) for each in (late, early, late)])

    assert found(await look(world, is_whole=True), "after a later one").examples == [str(early.id)]


async def test_work_that_nobody_does_is_stuck(world: World, lived: UUID) -> None:
    async with world.database.transaction() as tx:
        await outbox.add(tx, registered(new_id()))
        await tx.execute("update outbox set created_at = now() - interval '1 hour'")
        await tx.execute(_TASK, {"name": "create_settings", "attempts": 0})
        await tx.execute(_TASK, {"name": "send_mail/mail", "attempts": 1})
        await tx.execute(_TASK, {"name": "renamed", "attempts": 0})
        await tx.execute("insert into group_stops (group_name, reason) values ('g', 'too much failed')")

    report = await look(world)

    stuck = {each.what: each.count for each in report.findings if each.invariant == "nothing stuck"}
    assert list(stuck.values()) == [1, 1, 1, 1, 1, 1, 1]
    assert found(report, "stopped").examples == ["g: too much failed"]


async def test_a_parked_lane_and_a_dead_letter_are_in_the_books_and_no_finding(world: World, lived: UUID) -> None:
    first, second = [row[0] for row in await world.rows("select id from event_log order by sequence")]
    group = world.config.kafka.group_id
    async with world.database.transaction() as tx:
        await tx.execute(_LANE, {"event": first, "user": lived, "group": group, "error": "broke"})
        await tx.execute(_LANE, {"event": second, "user": lived, "group": group, "error": None})
        await tx.execute(_LETTER, {"event": second, "group": f"{group}.webhooks"})

    report = await look(world)

    assert report.findings == []
    assert [(book.handled, book.parked, book.dead) for book in report.books[:2]] == [(0, 2, 0), (1, 0, 1)]


async def test_the_command_prints_books_and_findings_and_fails_when_something_is_wrong(
    world: World, lived: UUID
) -> None:
    status, said = await world.command("verify", "--kafka")
    assert (status, said.splitlines()[-1]) == (0, "all is well")

    await execute(world, "delete from login_log")
    status, said = await world.command("verify", "--json")

    assert status == 1
    (finding,) = msgspec.json.decode(said)["findings"]
    assert finding["next_step"] == "`usercenter replay --handler write_login_log` does them again"


_TASK = """
insert into tasks (handler, user_id, event_id, event_type, shard, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, next_attempt_at, occurred_at)
values (%(name)s, gen_random_uuid(), gen_random_uuid(), 'user.registered', 1, '', 'g', 't', 0, 0, %(attempts)s,
    now() - interval '1 hour', now())
"""

_LANE = """
insert into tasks (handler, user_id, event_id, event_type, shard, payload, group_name, topic, kafka_partition,
    kafka_offset, attempts, ended, last_error, occurred_at)
values ('refresh_cache', %(user)s, %(event)s, 'user.registered', 1, '', %(group)s, 't', 0, 0, 1, 1, %(error)s, now())
"""

_LETTER = """
insert into dead_letters (group_name, handler, topic, headers, event_id, attempts, error)
values (%(group)s, 'deliver_webhook', 't', '{}', %(event)s, 1, 'gone')
"""


async def nowhere(world: World, *, limit: int = 100_000) -> dict[str, int]:
    """The count for the metric."""
    return await unaccounted(
        world.config,
        database=world.database,
        groups=groups(world.config.kafka),
        registry=Registry(EVENTS),
        hours=24,
        limit=limit,
    )


async def test_the_metric_counts_what_is_nowhere_and_nothing_that_waits_on_kafka(world: World, lived: UUID) -> None:
    mark = world.config.kafka.group_id
    assert await nowhere(world) == {mark: 0, f"{mark}.webhooks": 0}

    async with world.database.transaction() as tx:
        event = registered(lived, sequence=3)
        await outbox.add(tx, event)
    async with world.service(roles=("relay",)):
        await eventually(lambda: world.count("outbox"), lambda number: number == 0, what="the event on Kafka")
    assert await nowhere(world) == {mark: 0, f"{mark}.webhooks": 0}  # it waits
    assert await nowhere(world, limit=0) == {}  # and is too much to read

    await execute(world, "delete from inbox where group_name = %s", mark)
    assert await nowhere(world) == {mark: 2, f"{mark}.webhooks": 0}


async def test_one_process_counts_and_all_show_it(world: World, lived: UUID) -> None:
    del lived
    mark = world.config.kafka.group_id
    await execute(world, "delete from snapshots where kind = 'books'")
    await execute(world, "delete from inbox where group_name = %s", mark)
    shown = [Metrics(), Metrics()]
    watchers = [
        Accounting(
            world.config,
            database=world.database,
            groups=groups(world.config.kafka),
            registry=Registry(EVENTS),
            metrics=metrics,
        )
        for metrics in shown
    ]
    assert [await each.turn() for each in watchers] == [True, False]
    for metrics in shown:
        assert metrics.registry.get_sample_value("usercenter_unaccounted_events", {"group": mark}) == 2
