"""What an error of the brokers means for whoever operates the service: the state, what goes on meanwhile, what to do.

One page of the docs for each of the three cases: no broker answers, a message is not taken, a group cannot read.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError

Doing = Literal["send", "read"]
Page = Literal["docs/errors/no-broker.md", "docs/errors/send-failed.md", "docs/errors/cannot-read.md"]

NO_BROKER: Final[Page] = "docs/errors/no-broker.md"
SEND_FAILED: Final[Page] = "docs/errors/send-failed.md"
CANNOT_READ: Final[Page] = "docs/errors/cannot-read.md"


class Advice(NamedTuple):
    """One kind of trouble, in words."""

    state: str
    meanwhile: str
    next: str
    page: Page
    is_said_once: bool = False
    """Whether the client library tells a consumer of it once only, so that its end shows only at a new beginning."""

    def facts(self) -> dict[str, Any]:
        """For a line of the log."""
        return {"state": self.state, "meanwhile": self.meanwhile, "next": self.next, "see": self.page}


def advise(error: confluent_kafka.KafkaError, *, doing: Doing) -> Advice:
    """What to know about an error that came up while sending, or reading."""
    return _EITHER.get(error.code()) or (_SENDING if doing == "send" else _READING).get(error.code(), _OTHER[doing])


def is_absence(failure: confluent_kafka.KafkaException) -> bool:
    """Whether no broker was there to say anything; else one said no."""
    return advise(failure.args[0], doing="read").page == NO_BROKER


def in_short(failure: confluent_kafka.KafkaException) -> str:
    """A failed look, in one line: the state, and the broker's or the client library's own words."""
    error = failure.args[0]
    return f"{advise(error, doing='read').state} ({error.str()})"


def told(failure: confluent_kafka.KafkaException, *, brokers: Sequence[str]) -> str:
    """A failed call for the person who made it: what, where, what goes on meanwhile, what to do, and the page."""
    error = failure.args[0]
    advice = advise(error, doing="read" if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED else "send")
    return "\n  ".join(
        [
            f"{advice.state} (asked: {', '.join(brokers)}): {error.str()}",
            f"meanwhile: {advice.meanwhile}",
            f"next: {advice.next}",
            f"see: {advice.page}",
        ]
    )


WAITING: Final = "people are served; events wait in the outbox and are sent in order afterwards"
STAYING: Final = "the other groups go on; the events stay on the topic as long as it keeps them, and in event_log"
TOO_LARGE: Final = Advice(
    "the broker does not take messages of this size",
    "the message is a dead letter of `relay`; the next ones of its user are sent",
    "raise max.message.bytes of the topic (and message.max.bytes in `kafka.librdkafka`), then "
    "`usercenter dead-letters redrive --handler relay`",
    SEND_FAILED,
)
UNREACHABLE: Final = Advice(
    "no broker can be reached",
    WAITING,
    "start the broker or correct `kafka.brokers`; `usercenter brokers` shows what answers",
    NO_BROKER,
)
_LOG_IN: Final = Advice(
    "the broker refuses the login",
    WAITING,
    "correct the user or password in `kafka.librdkafka`, then start the service again",
    NO_BROKER,
    is_said_once=True,
)
_GRANT: Final = (
    "give the user of `kafka.librdkafka` its rights on the broker (topics: Describe, Read, Write; groups: Read; to "
    "make topics: Create)"
)
_MAKE: Final = "make the topic: `usercenter topics create`"
_NO_SEND_RIGHT: Final = Advice("the broker does not let this user write", WAITING, _GRANT, SEND_FAILED)
_NO_TOPIC: Final = Advice("the broker has no such topic", WAITING, _MAKE, SEND_FAILED)
_REPLICAS: Final = Advice(
    "too few replicas are in sync",
    WAITING,
    "see to the brokers: `usercenter topics describe TOPIC` shows which are in sync; a topic needs min.insync.replicas",
    SEND_FAILED,
)
_NO_GROUP_RIGHT: Final = Advice(
    "the broker does not let this user join the group", STAYING, _GRANT, CANNOT_READ, is_said_once=True
)
_NO_READ_RIGHT: Final = Advice(
    "the broker does not let this user read the topic", STAYING, _GRANT, CANNOT_READ, is_said_once=True
)
_PROTOCOL: Final = Advice(
    "the group has members that share out partitions in another way",
    STAYING,
    "let all members have the same `kafka.consumer.assignment_strategy` and `group_protocol`: stop those that differ; "
    "`usercenter groups describe GROUP` names them",
    CANNOT_READ,
    is_said_once=True,
)
_NOTHING_TO_READ: Final = Advice("the broker has no such topic", STAYING, _MAKE, CANNOT_READ)
_OTHER: Final[dict[Doing, Advice]] = {
    "send": Advice("the broker did not take the message", WAITING, "nothing yet: it is sent again", SEND_FAILED),
    "read": Advice("the broker did not answer as it should", STAYING, "nothing yet: tried again", CANNOT_READ),
}
# the names with a line before them are the library's public constants
_EITHER: Final = {
    KafkaError._TRANSPORT: UNREACHABLE,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: UNREACHABLE,  # noqa: SLF001
    KafkaError._TIMED_OUT: UNREACHABLE,  # noqa: SLF001
    KafkaError._RESOLVE: UNREACHABLE,  # noqa: SLF001
    KafkaError._MSG_TIMED_OUT: UNREACHABLE,  # noqa: SLF001
    KafkaError._AUTHENTICATION: _LOG_IN,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED: _LOG_IN,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _NO_GROUP_RIGHT,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _NO_SEND_RIGHT,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _NO_SEND_RIGHT,
}
_SENDING: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _NO_SEND_RIGHT,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: _NO_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION: _NO_TOPIC,  # noqa: SLF001
    KafkaError.NOT_ENOUGH_REPLICAS: _REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: _REPLICAS,
    KafkaError.MSG_SIZE_TOO_LARGE: TOO_LARGE,
}
_READING: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _NO_READ_RIGHT,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NOTHING_TO_READ,
    KafkaError._UNKNOWN_TOPIC: _NOTHING_TO_READ,  # noqa: SLF001
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: _PROTOCOL,
    KafkaError.UNSUPPORTED_ASSIGNOR: _PROTOCOL,
}
