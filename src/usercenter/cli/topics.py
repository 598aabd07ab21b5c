"""`usercenter topics`."""

from typing import TYPE_CHECKING

from usercenter.cli.operating import Json, Yes, say
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.messaging.topics import Partition


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


def list_(*, json: Json = False, internal: bool = False, config: ConfigFile = None) -> None:
    """List the broker's topics with their number of partitions.

    Parameters
    ----------
    internal: Kafka's own topics too.
    """
    from usercenter.messaging import topics

    found = topics.names(of_running(config).kafka, include_internal=internal)
    if json:
        show_json(found)
        return
    show_table(("topic", "partitions"), list(found.items()))


def describe(name: str, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Describe one topic: leaders, replicas, in-sync replicas; which records each partition holds, and since when."""
    from usercenter.messaging import topics

    topic = topics.describe(of_running(config).kafka, name)
    if json:
        show_json(topic)
        return
    titles = ("partition", "leader", "replicas", "in sync", "earliest", "written", "next", "written last")
    show_table(titles, [_row(each) for each in topic.partitions])


def purge(name: str, /, *, yes: Yes = False, json: Json = False, config: ConfigFile = None) -> None:
    """Delete the records that a topic holds now; without --yes only say how many, and who has not read them.

    Parameters
    ----------
    yes: Do it. What is deleted cannot be brought back from Kafka.
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


def delete(name: str, /, *, yes: Yes = False, json: Json = False, config: ConfigFile = None) -> None:
    """Delete a topic with all its records; without --yes only say how many, and who has not read them.

    Parameters
    ----------
    yes: Do it. A running service makes its own topics anew at its next start.
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
        say("Nothing was changed: say --yes to do it.")


def _row(each: "Partition") -> tuple[object, ...]:
    return (
        *(each.partition, each.leader, ",".join(map(str, each.replicas)), ",".join(map(str, each.in_sync))),
        *(each.earliest_offset, each.earliest_at, each.next_offset, each.latest_at),
    )
