"""Sweeps away what a test has left on the broker that it shares with all others.

Each world has six topics and four groups; after a thousand of them every list of topics, every look at the groups and
every start of a client would be slow. Nobody waits for it, and what cannot be deleted (a group whose member was killed)
stays.
"""

from functools import cache

from confluent_kafka.admin import AdminClient

from usercenter.config.model import Config
from usercenter.messaging.client import topics_by_stream

_GROUPS = ("", ".webhooks", ".notifications", ".analytics")


def sweep(config: Config) -> None:
    """Ask for the deletion of this world's topics and groups. Does not block."""
    admin = _admin(tuple(config.kafka.brokers))
    admin.delete_topics(list(topics_by_stream(config.kafka).values()), operation_timeout=0)
    admin.delete_consumer_groups([f"{config.kafka.group_id}{each}" for each in _GROUPS])


@cache
def _admin(brokers: tuple[str, ...]) -> AdminClient:
    """One for the whole run, and silent: the broker may end before it."""
    return AdminClient({"bootstrap.servers": ",".join(brokers), "log_level": 0})
