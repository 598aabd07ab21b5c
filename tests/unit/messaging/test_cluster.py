"""The child that looks at the brokers: whatever becomes of it, there is an answer."""

import pytest
from msgspec.structs import replace

from usercenter.config.model import Kafka
from usercenter.messaging import live
from usercenter.messaging.apart import Unanswered
from usercenter.messaging.cluster import Answer, Question, look


async def test_a_child_that_dies_is_an_answer_that_says_so() -> None:
    broken = replace(Kafka(), librdkafka={"no.such.setting": 1})

    answer = await look(Question(kafka=broken, topics=[], groups=[]))

    assert answer == Answer(error="the process that looked ended with 1")


async def test_brokers_that_are_not_there_are_an_answer_with_the_reason() -> None:
    nowhere = replace(Kafka(), brokers=["127.0.0.1:1"])

    answer = await look(Question(kafka=nowhere, topics=[], groups=[]))

    assert answer.cluster is None
    assert "transport" in answer.error


async def test_a_command_is_told_that_its_child_died() -> None:
    broken = replace(Kafka(), librdkafka={"no.such.setting": 1})

    with pytest.raises(Unanswered, match="ended with 1"):
        await live.groups(broken)


async def test_a_command_is_told_why_no_broker_answers() -> None:
    nowhere = replace(Kafka(), brokers=["127.0.0.1:1"])

    assert "no broker of 127.0.0.1:1" in ((await live.brokers(nowhere)).error or "")
