"""The books after a fault: what clients know, against event_log, Kafka, the effects and the mails.

`check` fails with everything that does not fit. `judge` returns it as a `Tally`, for tests that expect some of it.
"""

from collections import Counter
from pathlib import Path

from faults.books import Allowed, Books, Event, Tally
from faults.settling import settled
from harness import World

from usercenter.events import EVENTS, Registry
from usercenter.handlers import groups
from usercenter.messaging.operations.verify import verify

__all__ = ["Allowed", "Tally", "check", "judge"]

COUNTED = {
    "user.registered": "registrations",
    "user.logged_in": "logins",
    "user.password_changed": "password_changes",
    "user.status_changed": "status_changes",
    "user.updated": "updates",
    "user.deleted": "deletions",
}
"""Which number of the statistics grows by one: a second effect would be seen in it."""


async def check(world: World, file: Path, *, allowed: Allowed | None = None, timeout_seconds: float = 60) -> Tally:
    """Wait until everything is done, then compare; fails with all that does not fit."""
    allowed = allowed or Allowed()
    await settled(world, tasks=allowed.tasks, timeout_seconds=timeout_seconds)
    tally = await judge(world, file, allowed=allowed)
    assert not tally.problems, "\n".join([f"{file}:", *tally.problems[:40], f"in all {len(tally.problems)}"])
    return tally


async def judge(world: World, file: Path, *, allowed: Allowed | None = None) -> Tally:
    """Compare, now."""
    allowed = allowed or Allowed()
    found = await Books.read(world, file)
    tally = found.tally()
    lost = [*found.without_event(), *found.not_on_kafka()]
    twice = [*found.invented(allowed), *await effects(world, found), *found.wrong_mails(allowed)]
    tally.lost, tally.twice = len(lost), len(twice)
    tally.problems = [
        *lost,
        *twice,
        *found.out_of_order(),
        *await left_behind(world, allowed),
        *await verified(world, allowed),
    ]
    return tally


async def effects(world: World, books: Books) -> list[str]:
    """Effects in the database that are missing or happened twice."""
    living = [event for event in books.log if event.user_id not in books.erased]
    of = {type_: _ids(living, type_) for type_ in COUNTED}
    users = {event.user_id for event in living if event.type == "user.registered"}
    found = [
        _compare("user_settings", users, await _column(world, "user_settings", "user_id")),
        _compare("login_log", of["user.logged_in"], await _column(world, "login_log", "event_id")),
        _compare("security_log", of["user.password_changed"], await _column(world, "security_log", "event_id")),
        _compare("erasures", books.erased, await _column(world, "erasures", "user_id")),
    ]
    rows = await world.rows("select metric, sum(value)::int from statistics where step = 'day' group by 1")
    counted, types = dict(rows), Counter(event.type for event in books.log)
    numbers = [
        f"statistics: {counted.get(metric, 0)} {metric}, and {types[type_]} {type_}"
        for type_, metric in COUNTED.items()
        if counted.get(metric, 0) != types[type_]
    ]
    return [each for each in found if each] + numbers


async def left_behind(world: World, allowed: Allowed) -> list[str]:
    """Work that should not be there any more."""
    counts = {"outbox": 0, "tasks": allowed.tasks, "dead_letters": allowed.dead_letters}
    found = {table: await world.count(table) for table in counts}
    return [f"{table}: {number}, not {counts[table]}" for table, number in found.items() if number != counts[table]]


async def verified(world: World, allowed: Allowed) -> list[str]:
    """What `usercenter verify` finds, when it reads the whole topic; other producers' messages would be found there."""
    report = await verify(
        world.config,
        database=world.database,
        groups=groups(world.config.kafka),
        registry=Registry(EVENTS),
        reads_whole_topic=not allowed.foreign,
    )
    missing = [f"verify: {book}" for book in report.books if book.missing]
    return missing + [f"verify: {each.invariant}: {each.what} ({each.count})" for each in report.findings]


def _ids(events: list[Event], type_: str) -> set[str]:
    return {event.id for event in events if event.type == type_}


async def _column(world: World, table: str, column: str) -> list[str]:
    rows = await world.rows(f"select {column}::text from {table}")  # noqa: S608  # constants of this file
    return [row[0] for row in rows]


def _compare(table: str, wanted: set[str], rows: list[str]) -> str:
    missing, more = wanted - set(rows), set(rows) - wanted
    if not missing and not more and len(rows) == len(wanted):
        return ""
    return f"{table}: {len(missing)} missing {sorted(missing)[:3]}, {len(more)} too many {sorted(more)[:3]}"
