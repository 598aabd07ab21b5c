"""`usercenter topics`."""

import sys

import msgspec

from usercenter.cli.settings import ConfigFile, of_running


def create(*, config: ConfigFile = None) -> None:
    """Make those of the configured topics that are missing, dead-letter topics included.

    Example: usercenter topics create
    """
    from usercenter.messaging import topics

    made = topics.create_missing(of_running(config).kafka)
    for name in made:
        print(name)  # noqa: T201
    print(f"{len(made)} made" if made else "all of them are there", file=sys.stderr)  # noqa: T201


def list_(*, json: bool = False, internal: bool = False, config: ConfigFile = None) -> None:
    """List the broker's topics with their number of partitions.

    Example: usercenter topics list

    Parameters
    ----------
    json: Print JSON.
    internal: Kafka's own topics too.
    """
    from usercenter.messaging import topics

    found = topics.names(of_running(config).kafka, include_internal=internal)
    if json:
        print(msgspec.json.encode(found).decode())  # noqa: T201
        return
    width = max((len(name) for name in found), default=0)
    for name, partitions in found.items():
        print(f"{name:<{width}}  {partitions}")  # noqa: T201


def describe(name: str, /, *, json: bool = False, config: ConfigFile = None) -> None:
    """Describe one topic: leaders, replicas, in-sync replicas, earliest and next offset of each partition.

    Example: usercenter topics describe user.events

    Parameters
    ----------
    json: Print JSON.
    """
    from usercenter.messaging import topics

    topic = topics.describe(of_running(config).kafka, name)
    if json:
        print(msgspec.json.encode(topic).decode())  # noqa: T201
        return
    print(f"{'partition':>9}  {'leader':>6}  {'replicas':<10}  {'in sync':<10}  {'earliest':>10}  {'next':>10}")  # noqa: T201
    for each in topic.partitions:
        replicas, in_sync = ",".join(map(str, each.replicas)), ",".join(map(str, each.in_sync))
        print(  # noqa: T201
            f"{each.partition:>9}  {each.leader:>6}  {replicas:<10}  {in_sync:<10}  "
            f"{each.earliest_offset:>10}  {each.next_offset:>10}"
        )
