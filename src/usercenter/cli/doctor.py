"""`usercenter doctor`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from usercenter.cli import CHECK_FAILED, FINE, UNREACHABLE
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show, show_json

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.db import Database
    from usercenter.messaging.operations.doctor import Check

_MARKS: Final = {"fine": "✓", "wrong": "✗", "unreachable": "✗", "unknown": "?"}


def doctor(*, json: Json = False, config: ConfigFile = None) -> int:
    """Look at everything that the service needs, and say of each that it is fine, or what to do next.

    Configuration, PostgreSQL and its schema, every broker by every address that it advertises, topics, rights, groups,
    clocks, mail, SMS, cache, running processes. Writes nothing and sends nothing. Status 1 when something is wrong, 3
    when something cannot be reached.
    """
    found = asyncio.run(_all(config, tells=not json))
    if json:
        show_json({"is_fine": all(each.state == "fine" for each in found), "checks": found})
    bad = [each for each in found if each.state != "fine"]
    say(f"{len(bad)} of {len(found)} are not fine" if bad else f"all {len(found)} are fine")
    if any(each.state == "unreachable" for each in found):
        return UNREACHABLE
    return CHECK_FAILED if bad else FINE


async def _all(path: Path | None, *, tells: bool) -> "list[Check]":
    """Everything, each told when it is known."""
    found = []
    async for check in _checks(path):
        found.append(check)
        if tells:
            _tell(check)
    return found


def _tell(check: "Check") -> None:
    show(plain(f"{_MARKS[check.state]} {check.name}: {check.says}"))
    if check.next_step is not None:
        show(plain(f"    next: {check.next_step}"))


async def _checks(path: Path | None) -> "AsyncIterator[Check]":
    from usercenter.bootstrap import reactions_of
    from usercenter.cli import outside_parts
    from usercenter.config import ConfigInvalid
    from usercenter.db import Database
    from usercenter.extension import ExtensionInvalid
    from usercenter.messaging.operations.doctor import fine, wrong
    from usercenter.messaging.operations.doctor_kafka import look_at_kafka

    try:
        config = of_running(path)
        _, groups = reactions_of(config)
    except (ConfigInvalid, ExtensionInvalid) as error:
        yield wrong("configuration", str(error), "usercenter config check")
        return
    yield fine("configuration", f"{len(groups)} groups, {len(config.extensions)} extensions")
    database = Database(config.database)
    await database.open()
    try:
        for check in await _of_database(config, database):
            yield check
    finally:
        await database.close()
    for check in await look_at_kafka(config.kafka, [group.name for group in groups]):
        yield check
    for look in (outside_parts.look_at_mail, outside_parts.look_at_sms, outside_parts.look_at_cache):
        yield await look(config)


async def _of_database(config: "Config", database: "Database") -> "list[Check]":
    """PostgreSQL, its schema, and what the tables say, as far as they are there."""
    from usercenter.cli import outside_parts
    from usercenter.messaging.operations.doctor import look_at_database, look_at_work, unknown

    found = await look_at_database(database, config.database.url)
    if found[0].state != "fine":
        return found
    found.append(await asyncio.to_thread(outside_parts.look_at_schema, config))
    if found[-1].state != "fine":
        return [*found, unknown("running processes", "the schema does not tell yet", "usercenter db upgrade")]
    async with database.transaction() as tx:
        return [*found, *await look_at_work(tx)]
