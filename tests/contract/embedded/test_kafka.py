"""The broker is Apache Kafka itself: it keeps records through a stop, and its own tools read them."""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from usercenter.embedded import kafka_jars
from usercenter.embedded.errors import UnknownTool
from usercenter.embedded.kafka import Kafka
from usercenter.embedded.kafka_tools import MAIN_CLASSES, run_tool
from usercenter.embedded.parts import Running

CALL_TOOL = (
    "import sys; from usercenter.embedded.kafka_tools import run_tool; "
    "sys.exit(run_tool(sys.argv[1], sys.argv[3:], brokers=[sys.argv[2]]))"
)


@pytest.fixture
def kafka(parts: Running) -> Kafka:
    assert parts.kafka
    (broker,) = parts.kafka.members
    return broker


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """A new topic with one partition."""
    name = f"t-{uuid.uuid4().hex}"
    client = AdminClient({"bootstrap.servers": kafka.address})
    client.create_topics([NewTopic(name, 1, 1)])[name].result(10)
    return name


def write(kafka: Kafka, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "acks": "all", "compression.type": "snappy"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(10) == 0


def read(kafka: Kafka, topic: str, count: int) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.address, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    messages = consumer.consume(count, 20)
    consumer.close()
    return [(message.value() or b"").decode() for message in messages]


async def call_tool(kafka: Kafka, tool: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CALL_TOOL, tool, kafka.address, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def test_records_survive_a_stop_and_a_crash_of_the_broker(kafka: Kafka, topic: str) -> None:
    address = kafka.address
    await asyncio.to_thread(write, kafka, topic, "one", "two")
    await kafka.stop()
    await kafka.start()
    await asyncio.to_thread(write, kafka, topic, "three")
    await kafka.kill()
    await kafka.start()
    assert kafka.address == address
    assert await asyncio.to_thread(read, kafka, topic, 3) == ["one", "two", "three"]


async def test_a_frozen_broker_answers_nobody_until_it_is_thawed(kafka: Kafka) -> None:
    client = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    kafka.freeze()
    try:
        with pytest.raises(KafkaException):
            await asyncio.to_thread(client.list_topics, timeout=0.5)
    finally:
        kafka.thaw()
    assert (await asyncio.to_thread(client.list_topics, timeout=10)).brokers


async def test_a_topic_is_not_made_by_asking_for_it(kafka: Kafka) -> None:
    client = AdminClient({"bootstrap.servers": kafka.address})
    await asyncio.to_thread(client.list_topics, "never-made", 10)
    assert "never-made" not in (await asyncio.to_thread(client.list_topics, timeout=10)).topics


async def test_the_console_consumer_reads_what_the_console_producer_wrote(kafka: Kafka, topic: str) -> None:
    producer = await call_tool(kafka, "console-producer", "--topic", topic)
    await producer.communicate(b"hello from the console\n")
    arguments = ("--topic", topic, "--from-beginning", "--max-messages", "1", "--timeout-ms", "20000")
    consumer = await call_tool(kafka, "console-consumer", *arguments)
    out, _ = await consumer.communicate()
    assert (producer.returncode, consumer.returncode) == (0, 0)
    assert out.decode().splitlines()[0] == "hello from the console"


async def test_ctrl_c_ends_the_console_consumer_in_its_own_way(kafka: Kafka, topic: str) -> None:
    await asyncio.to_thread(write, kafka, topic, "first")
    consumer = await call_tool(kafka, "console-consumer", "--topic", topic, "--from-beginning")
    assert consumer.stdout
    assert await consumer.stdout.readline() == b"first\n"
    os.killpg(consumer.pid, signal.SIGINT)
    _, complaints = await consumer.communicate()
    assert b"Processed a total of 1 messages" in complaints
    assert b"Traceback" not in complaints


async def test_topics_of_the_brokers_that_the_arguments_name_are_listed(kafka: Kafka, topic: str) -> None:
    listing = await call_tool(kafka, "topics", "--bootstrap-server", kafka.address, "--list")
    out, _ = await listing.communicate()
    assert topic in out.decode().splitlines()


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownTool, match=", ".join(sorted(MAIN_CLASSES))):
        run_tool("console-consumr", [], brokers=["127.0.0.1:1"])


def test_every_pinned_jar_has_full_coordinates_and_a_hash() -> None:
    jars = kafka_jars.pinned()
    assert {"kafka_2.13", "snappy-java", "zstd-jni", "lz4-java"} <= {jar.artifact for jar in jars}
    assert all(len(jar.sha256) == 64 and jar.version for jar in jars)
    assert len({jar.file_name for jar in jars}) == len(jars)


def test_a_jar_with_the_wrong_content_is_fetched_again(
    parts: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = kafka_jars.cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    copy = kafka_jars.cache_dir()
    copy.mkdir(parents=True)
    for jar in kafka_jars.pinned():
        (copy / jar.file_name).symlink_to(right / jar.file_name)
    damaged = next(jar for jar in kafka_jars.pinned() if jar.artifact == "slf4j-simple")
    (copy / damaged.file_name).unlink()
    (copy / damaged.file_name).write_bytes(b"half a jar")
    lines: list[str] = []
    assert copy / damaged.file_name in kafka_jars.fetch_blocking(lines.append)
    assert (copy / damaged.file_name).read_bytes() == (right / damaged.file_name).read_bytes()
    assert "1 files" in lines[0]


async def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    call = "from usercenter.embedded import kafka_jars; kafka_jars.fetch_blocking(print)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", call),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""},
    )
    _, complaints = await process.communicate()
    assert "PartUnavailable: Apache Kafka is not available: its jars cannot be fetched" in complaints.decode()
    assert "set kafka.brokers" in complaints.decode()
