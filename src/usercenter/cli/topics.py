"""`usercenter topics`."""

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from usercenter.cli.loading import embedded_parts
from usercenter.cli.operating import NOTHING_CHANGED, Json, Yes
from usercenter.cli.overview import Live, seen
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.config.model import Kafka
    from usercenter.messaging.overviews import Overview
    from usercenter.messaging.topics import Partition, Topic


def _can_be_a_topic(_: Any, name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name):
        raise ValueError("no topic can be called so: 1 to 249 characters out of a-zA-Z0-9._- are allowed")


TopicName = Annotated[str, Parameter(validator=_can_be_a_topic, help="The topic.")]
Internal = Annotated[bool, Parameter(negative="", help="Kafka's own topics too.")]
Sizes = Annotated[
    bool, Parameter(negative="", help="Bytes on disk too; Kafka's own log-dirs asks for them, in a second or two.")
]


def create(*, json: Json = False, config: ConfigFile = None) -> None:
    """Make those of the configured topics that are missing, dead-letter topics included."""
    from usercenter.messaging import topics

    made = topics.create_missing(of_running(config).kafka)
    if json:
        show_json(made)
        return
    for name in made:
        show(plain(name))
    say(f"{len(made)} made" if made else "all of them are there")


def list_(*, json: Json = False, internal: Internal = False, live: Live = False, config: ConfigFile = None) -> None:
    """List the broker's topics with their number of partitions, as the service saw them a moment ago."""
    from usercenter.messaging import topics

    def kept(overview: "Overview") -> dict[str, int] | None:
        return overview.cluster.partitions if overview.cluster else None

    settings = of_running(config)
    everything = partial(asyncio.to_thread, topics.names, settings.kafka, include_internal=True)
    found = seen(settings, kept, everything, is_live=live)
    wanted = {name: number for name, number in found.what.items() if internal or not topics.is_internal(name)}
    if json:
        show_json(found.told(topics=wanted))
        return
    show_table(("topic", "partitions"), list(wanted.items()))


def describe(
    name: TopicName, /, *, json: Json = False, live: Live = False, sizes: Sizes = False, config: ConfigFile = None
) -> None:
    """Describe one topic: leaders, replicas, in-sync replicas; which records each partition holds, and since when.

    As the service saw it a moment ago; topics that are not ours, and any with --live, are asked of the brokers.
    """
    from usercenter.messaging import topics

    def kept(overview: "Overview") -> "Topic | None":
        ours = overview.cluster.topics if overview.cluster else []
        return next((each for each in ours if each.name == name), None)

    settings = of_running(config)
    found = seen(settings, kept, partial(asyncio.to_thread, topics.describe, settings.kafka, name), is_live=live)
    bytes_on_disk = _sizes(settings.kafka, name) if sizes else None
    if json:
        show_json(found.told(topic=found.what, **({"bytes": bytes_on_disk} if sizes else {})))
        return
    titles = ["partition", "leader", "replicas", "in sync", "records", "earliest", "written", "next", "written last"]
    rows = [_row(each) for each in found.what.partitions]
    if bytes_on_disk is not None:
        titles.append("bytes")
        rows = [(*row, bytes_on_disk.get(row[0], {}).get(row[1])) for row in rows]
    show_table(titles, rows)


def _sizes(kafka: "Kafka", name: str) -> dict[int, dict[int, int]]:
    """Bytes by partition and broker."""
    embedded_parts()
    from usercenter.embedded import log_dirs
    from usercenter.messaging import live

    live.reach(kafka)
    return log_dirs.sizes(name, brokers=kafka.brokers, librdkafka=kafka.librdkafka)


def purge(name: TopicName, /, *, yes: Yes = False, json: Json = False, config: ConfigFile = None) -> None:
    """Delete the records that a topic holds now; without --yes only say how many, and who has not read them.

    What is deleted cannot be brought back from Kafka.
    """
    from usercenter.messaging import purging

    kafka = of_running(config).kafka
    planned = purging.plan(kafka, name)
    if yes:
        purging.purge(kafka, planned)
    if json:
        show_json({"is_done": yes, "purge": planned})
    else:
        show(plain(f"{planned.records} records of {name} {'deleted' if yes else 'would be deleted'}"))
        for each in planned.unread:
            show(plain(f"not read by {each.group}: {each.records}"))
    _say_what_next(is_done=yes)


def delete(name: TopicName, /, *, yes: Yes = False, json: Json = False, config: ConfigFile = None) -> None:
    """Delete a topic with all its records; without --yes only say how many, and who has not read them.

    A running service makes its own topics anew at its next start.
    """
    from usercenter.messaging import purging

    kafka = of_running(config).kafka
    planned = purging.plan(kafka, name)
    if yes:
        purging.delete_topic(kafka, name)
    if json:
        show_json({"is_done": yes, "delete": planned})
        return
    show(plain(f"{name} with {planned.records} records {'deleted' if yes else 'would be deleted'}"))
    for each in planned.unread:
        show(plain(f"not read by {each.group}: {each.records}"))
    _say_what_next(is_done=yes)


def _say_what_next(*, is_done: bool) -> None:
    if not is_done:
        say(NOTHING_CHANGED)


def _row(each: "Partition") -> tuple[Any, ...]:
    return (
        *(each.partition, each.leader, ",".join(map(str, each.replicas)), ",".join(map(str, each.in_sync))),
        each.next_offset - each.earliest_offset,
        *(each.earliest_offset, each.earliest_at, each.next_offset, each.latest_at),
    )
