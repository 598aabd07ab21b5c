"""What Kafka's log-dirs says, read."""

import pytest

from usercenter.embedded.errors import ToolFailed
from usercenter.embedded.log_dirs import read

SAID = """Querying brokers for log directories information
Received log directory information from brokers 1,2
{"brokers":[
{"broker":1,"logDirs":[{"partitions":[{"partition":"user.events-0","size":910,"offsetLag":0,"isFuture":false},
{"partition":"user.events.dlq-0","size":7,"offsetLag":0,"isFuture":false}],"error":null,"logDir":"/d"}]},
{"broker":2,"logDirs":[{"partitions":[{"partition":"user.events-0","size":800,"offsetLag":9,"isFuture":false},
{"partition":"user.events-11","size":3,"offsetLag":0,"isFuture":false}],"error":null,"logDir":"/d"}]}],"version":1}
"""


def test_sizes_are_by_partition_and_broker_and_of_the_topic_alone() -> None:
    words, _, told = SAID.partition("{")
    assert read(words + "{" + told.replace("\n", ""), "user.events") == {0: {1: 910, 2: 800}, 11: {2: 3}}


def test_words_without_an_answer_are_a_failure_that_repeats_them() -> None:
    with pytest.raises(ToolFailed, match="no broker"):
        read("Querying brokers\nno broker was there\n", "user.events")
