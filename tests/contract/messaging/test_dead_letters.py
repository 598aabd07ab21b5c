"""Dead letters: kept with their reason, and published where others can see them."""

from typing import Any

import pytest
from harness import World, eventually
from receiving import TOPIC, Desk, Effects, login, message, messages

from usercenter.events import UserLoggedIn
from usercenter.messaging import dead_letters, outbox, upkeep
from usercenter.messaging.groups import Group, PermanentFailure, Schedule, outside, record
from usercenter.messaging.outbox import Row
from usercenter.messaging.shards import SHARDS, shard_of


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


def of_logins(*handlers: Any) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


async def _published(world: World) -> list[Row]:
    async with world.database.transaction() as tx:
        return await outbox.waiting(tx.fetch_all, shards=range(SHARDS), beside=[], held_keys=[], limit=100)


async def test_a_task_that_is_given_up_is_published_with_all_that_is_known_of_it(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("no such address")
    event = login()
    sent = message(event, partition=2)
    await desk.router(of_logins(outside(effects.outside("send")))).handle([sent])

    await desk.all_done(of_logins(outside(effects.outside("send"))))

    [row] = await _published(desk.world)
    assert (row.stream, row.key, row.payload, row.type) == (
        "user_events.dlq",
        str(event.user_id),
        sent.value,
        "user.logged_in",
    )
    assert row.shard == shard_of(event.user_id)
    assert row.headers == sent.headers | {
        "original_topic": TOPIC,
        "original_partition": "2",
        "original_offset": str(sent.offset),
        "original_key": str(event.user_id),
        "group": "usercenter",
        "handler": "send",
        "attempts": "1",
        "error": "PermanentFailure: no such address",
    }


async def test_a_record_handlers_dead_letter_has_the_headers_of_its_message(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("never")
    sent = message(login())

    await desk.router(of_logins(record(effects.record("first")))).handle([sent])

    [row] = await _published(desk.world)
    assert row.headers.items() >= sent.headers.items()
    assert row.headers["handler"] == "first"


async def test_a_message_with_a_key_and_headers_that_are_no_text_is_published_all_the_same(desk: Desk) -> None:
    broken = message(value=b"\xff", key=b"nul \x00 and \xff", headers={"ce_id": "no uuid", "x": "nul \x00"})

    await desk.router(of_logins()).handle([broken])

    [row] = await _published(desk.world)
    assert (row.key, row.payload, row.type) == ("nul \\0 and \\xff", b"\xff", "undecodable")
    assert row.headers["x"] == "nul \x00"


async def test_a_message_that_kafka_refuses_is_kept_whatever_its_headers_say_and_a_dead_letter_only_once(
    desk: Desk,
) -> None:
    await desk.router(of_logins()).handle([message(value=b"\xff", headers={"ce_id": "no uuid"})])
    [letter] = await _published(desk.world)

    async with desk.world.database.transaction() as tx:
        await dead_letters.add_unsendable(tx, letter, topic=f"{TOPIC}.dlq", error="too large")
        await dead_letters.add_unsendable(tx, letter._replace(stream="user_events"), topic=TOPIC, error="too large")

    assert await desk.world.rows("select handler, event_id from dead_letters order by id") == [
        ("decode", None),
        ("relay", None),
    ]


class Unprintable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RecursionError


ODD = [
    ValueError(),
    ValueError("x" * 10_000_000),
    ValueError("nul \x00 and half \ud800"),
    OSError(b"\xff\x00".decode("utf-8", "surrogateescape")),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"),
    Unprintable(),
    ExceptionGroup("a", [ExceptionGroup("b", [Unprintable(), KeyError(b"\x00")]), OSError("\udcff")]),
]


async def test_odd_errors_and_huge_headers_and_values_reach_kafka_or_at_least_the_table(desk: Desk) -> None:
    errors = iter(ODD)
    effects = Effects()
    effects.fails = lambda handler, event: next(errors) if handler == "send" else None
    group, once = of_logins(outside(effects.outside("send"))), Schedule(attempts=1)
    large = {f"h{number}": "ü" * 30_000 for number in range(40)}
    odd = [message(login(), headers=large) for _ in ODD]
    user = login().user_id
    refused = message(login(user, user_agent="x" * 2_000_000))
    await desk.router(group).handle(odd)
    await desk.all_done(group, schedule=once)
    effects.fails = lambda handler, event: PermanentFailure("never")
    await desk.router(of_logins(record(effects.record("first")))).handle([refused, message(login(user))])

    async with desk.world.service(roles=["relay"]):
        await eventually(lambda: desk.world.count("outbox"), lambda n: n == 0, what="an empty outbox")

    assert await desk.world.count("dead_letters") == len(ODD) + 2
    rows = await desk.world.rows("select error, headers->>'h39' from dead_letters where handler = 'send'")
    letters = [each for each in desk.world.messages("user_events.dlq") if each.headers["handler"] == "send"]
    assert sorted(each.headers["error"] for each in letters) == sorted(row[0] for row in rows)
    assert {type(error).__name__ for error in ODD} == {row[0].partition(":")[0] for row in rows}
    assert {row[1] for row in rows} == {"ü" * 30_000}, "the table has all of it"
    for letter in letters:
        assert len(letter.headers["error"]) <= 2_000
        assert letter.headers["h0"] == "ü" * 4_000
        assert letter.headers["headers_cut"].startswith("h0, h1")
    assert len(desk.world.messages("user_events.dlq")) == len(ODD) + 1, "the one behind the refused one, of one user"


async def test_a_tombstone_is_told_from_an_empty_value(desk: Desk) -> None:
    await desk.router(of_logins()).handle([message(value=None), message(value=b"")])

    assert await desk.world.rows("select value from dead_letters order by id") == [(None,), (b"",)]


async def test_letters_are_told_to_the_gauges_until_they_are_settled(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure("never") if handler == "first" else None
    group = of_logins(record(effects.record("first")), outside(effects.outside("send")))
    await desk.router(group).handle([*messages(login()), message(value=b"broken")])
    handlers = {handler.name: handler for handler in group.all_handlers()}

    async def look(name: str, **labels: str) -> float | None:
        async with desk.world.database.transaction() as tx:
            await upkeep.look(tx, desk.metrics, handlers)
        return desk.metrics.registry.get_sample_value(f"usercenter_{name}", labels)

    assert await look("dead_letters", handler="first") == 1
    assert await look("dead_letters", handler="decode") == 1
    assert await look("dead_letters", handler="send") == 0
    assert await look("tasks", handler="send", state="waiting") == 1
    assert await look("tasks", handler="send", state="parked") == 0
    async with desk.world.database.transaction() as tx:
        await tx.execute("update dead_letters set settled_at = now()")
    assert await look("dead_letters", handler="first") == 0
    assert await look("dead_letters", handler="decode") is None


async def test_letters_with_one_cause_have_one_fingerprint_in_a_batch_and_in_a_task(desk: Desk) -> None:
    effects = Effects()
    effects.fails = lambda handler, event: PermanentFailure(f"no such address: {event.user_id}")
    group = of_logins(record(effects.record("first")), outside(effects.outside("send")))

    await desk.router(group).handle([*messages(login(), login()), message(value=b"broken")])
    await desk.all_done(group)

    prints = dict(await desk.world.rows("select handler, min(fingerprint) from dead_letters group by handler"))
    assert await desk.world.value("select count(distinct fingerprint) from dead_letters") == 2
    assert prints["first"] == prints["send"] != prints["decode"]
    assert min(map(len, prints.values())) == 12
