"""What a command asks the brokers now: whether they are there, their state, one group, all groups.

All but the first is asked by a child (`messaging/apart.py`), and once more if the first one dies. There the client may
call back with the cause of a failed connection, such as a refused login, which a failed call does not tell.
"""

from typing import Final, Literal

import confluent_kafka
import msgspec
from confluent_kafka.admin import AdminClient

from usercenter.clock import SystemClock
from usercenter.config.model import Kafka
from usercenter.messaging import apart, consumer_groups
from usercenter.messaging.brokers import BrokerWatch, KafkaState
from usercenter.messaging.client import BrokerFailure, client_logger, client_settings
from usercenter.messaging.consumer_groups import ConsumerGroup, GroupMissing

_CHILD_SECONDS: Final = 60.0
_REACH_SECONDS: Final = 3.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked."""

    kafka: Kafka
    about: Literal["brokers", "groups", "group"]
    group: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of the brokers, on its way to our process."""

    code: int
    says: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says."""

    state: KafkaState | None = None
    groups: list[ConsumerGroup] = []
    missing: str | None = None
    failure: Failure | None = None


async def brokers(kafka: Kafka) -> KafkaState:
    """The brokers now; where none answers, why not. Raises Unanswered."""
    answer = await _asked(Question(kafka=kafka, about="brokers"))
    if answer.state is None:
        raise apart.Unanswered("the process that looked has not said what it saw")
    return answer.state


async def groups(kafka: Kafka) -> list[ConsumerGroup]:
    """Every group of the brokers. Raises KafkaException, Unanswered."""
    return (await _asked(Question(kafka=kafka, about="groups"))).groups


async def group(kafka: Kafka, name: str) -> ConsumerGroup:
    """One group. Raises GroupMissing, KafkaException, Unanswered."""
    (found,) = (await _asked(Question(kafka=kafka, about="group", group=name))).groups
    return found


def reach(kafka: Kafka) -> None:
    """Ask the brokers who they are. Blocks a few seconds at most. Raises KafkaException when none answers."""
    AdminClient(client_settings(kafka), logger=client_logger()).list_topics(timeout=_REACH_SECONDS)


async def _asked(question: Question) -> Answer:
    try:
        answer = await apart.asked(__name__, question, Answer, timeout_seconds=_CHILD_SECONDS)
    except apart.Unanswered:
        answer = await apart.asked(__name__, question, Answer, timeout_seconds=_CHILD_SECONDS)
    if answer.missing is not None:
        raise GroupMissing(answer.missing)
    if answer.failure is not None:
        raise BrokerFailure(confluent_kafka.KafkaError(answer.failure.code, answer.failure.says))
    return answer


def _answer(question: Question) -> Answer:
    kafka = question.kafka
    try:
        if question.about == "brokers":
            return Answer(state=BrokerWatch(kafka, clock=SystemClock()).look_once())
        names = [question.group] if question.about == "group" else list(consumer_groups.names(kafka))
        return Answer(groups=[consumer_groups.describe(kafka, name) for name in names])
    except GroupMissing as error:
        return Answer(missing=str(error))
    except BrokerFailure as error:
        return Answer(failure=Failure(code=error.args[0].code(), says=error.args[0].str()))


if __name__ == "__main__":
    apart.answering(Question, _answer)
