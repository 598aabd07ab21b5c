"""`usercenter user timeline`."""

import asyncio
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from cyclopts import Parameter

from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import By, Json, Limit, Unmasked, who, work
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import fitting, plain, say, show, show_json
from usercenter.cli.user import Name, id_of

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.config import Config
    from usercenter.messaging.operations.timeline import Entry, Step

_ERROR_WIDTH = 90


def timeline(
    name: Name,
    /,
    *,
    attempts: Annotated[bool, Parameter(negative="", help="A second line for what was tried.")] = False,
    limit: Limit = 50,
    kafka: Annotated[bool, Parameter(help="Look up places on Kafka; with --no-kafka ask the brokers nothing.")] = True,
    unmasked: Unmasked = False,
    by: By = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what happened to a user, and what became of it: each event, where it is, and each handler's work for it.

    The latest events, the oldest first; those of deleted users too, by their id. A mail is shown below the event
    that it tells of for as long as it is unfinished.
    """
    settings = of_running(config)

    async def look(parts: "Workshop") -> "tuple[UUID, list[Entry]]":
        from usercenter.messaging.operations import audit
        from usercenter.messaging.operations.timeline import timeline as events_of

        topics = {stream: topic for topic, stream in parts.streams.items()}
        days = settings.retention.inbox_days
        async with parts.database.transaction() as tx:
            user_id = await id_of(tx, name)
            if user_id is None:
                raise CommandFailed(f"there is no user {name}; one that was deleted is found by the id")
            if unmasked:
                selection = {"user": str(user_id)}
                seen = await audit.begin(tx, kind="timeline.show_unmasked", by=who(by), selection=selection)
                await audit.finish(tx, seen, "done")
            found = await events_of(
                tx, user_id, parts.groups, topics, inbox_days=days, limit=limit, is_masked=not unmasked
            )
        return user_id, await _placed(settings, user_id, found) if kafka else found

    user_id, entries = work(config, look)
    if not entries:
        raise CommandFailed(f"there is no event of a user {user_id}")
    if json:
        show_json(entries)
        return
    for entry in entries:
        _show(entry, has_attempts=attempts, has_event=unmasked)
    if len(entries) == limit:
        say(f"there may be more than these {limit}: --limit")


async def _placed(config: "Config", user_id: UUID, entries: "list[Entry]") -> "list[Entry]":
    """With their places on Kafka, as far as a bounded search finds them."""
    from usercenter.messaging import advice, live
    from usercenter.messaging.client import BrokerFailure
    from usercenter.messaging.operations.whereabouts import places

    wanted = {each.id: each.at for each in entries if each.offset is None and not each.is_in_outbox}
    if not wanted:
        return entries
    try:
        await asyncio.to_thread(live.reach, config.kafka)  # fails sooner than the search does
        found = await places(config.kafka, entries[0].topic, user_id, wanted)
    except BrokerFailure as error:
        say(f"places on Kafka are left out, all else is from PostgreSQL: {advice.in_short(error)}")
        say("--no-kafka asks the brokers nothing; `usercenter brokers` shows which of them answer")
        return entries
    return [
        msgspec.structs.replace(each, partition=found[each.id].partition, offset=found[each.id].offset)
        if each.id in found
        else each
        for each in entries
    ]


def _show(entry: "Entry", *, has_attempts: bool, has_event: bool) -> None:
    show(plain(f"{entry.sequence:>4}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.type:<22} {_place(entry)}  {entry.id}"))
    if has_event:
        show("      " + plain(msgspec.json.encode(entry.event).decode()))
    for step in entry.steps:
        show(plain(f"      {step.state:<16} {step.handler}  ({step.group})"))
        if step.error is not None and step.state != "done":
            show(f"{'':<23}{fitting(step.error, _ERROR_WIDTH)}")
        if has_attempts and (tried := _tried(step)):
            show(f"{'':<23}{plain(tried)}")


def _place(entry: "Entry") -> str:
    if entry.is_in_outbox:
        return "outbox"
    if entry.offset is None:
        return f"{entry.topic}, place not looked up or not found"
    return f"{entry.topic} {entry.partition}:{entry.offset}"


def _tried(step: "Step") -> str:
    if step.task is not None:
        return f"task {step.task}: {step.attempts} attempts, next at {step.next_attempt_at:%Y-%m-%d %H:%M:%S}"
    return f"letter {step.letter}: {step.attempts} attempts" if step.letter is not None else ""
