"""Apache Kafka as one part: a broker alone, or three that may be stopped, killed and frozen one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from usercenter.config.model import EmbeddedKafka
from usercenter.embedded.errors import PartUnavailable
from usercenter.embedded.kafka import Kafka
from usercenter.embedded.kafka_quorum import Quorum


class KafkaCluster:
    """The brokers of the embedded Kafka; what is done to the cluster is done to each of `members`.

    A broker alone keeps its data in `directory`, each of three in a folder of its own there.
    """

    name = Kafka.name
    usual_port = Kafka.usual_port

    def __init__(self, directory: Path, settings: EmbeddedKafka, *, lock: int, announce: Callable[[str], None]) -> None:
        nodes = range(1, settings.brokers + 1)
        folders = {node: directory if len(nodes) == 1 else directory / str(node) for node in nodes}
        quorum = Quorum(folders)
        heap_mb = max(64, settings.heap_mb // len(nodes))
        self._directory = directory
        self.members: Sequence[Kafka] = [
            Kafka(folder, lock=lock, heap_mb=heap_mb, announce=announce, node_id=node, quorum=quorum)
            for node, folder in folders.items()
        ]

    @property
    def port(self) -> int:
        """That of the first broker."""
        return self.members[0].port

    @property
    def brokers(self) -> list[str]:
        """`host:port` of each, as the config wants it."""
        return [member.address for member in self.members]

    async def start(self) -> None:
        """Start those that do not run, side by side, and wait until they answer. Raises PartUnavailable."""
        self._check_data()
        await _all(member.start() for member in self.members)

    async def stop(self) -> None:
        """Stop them in good order and wait for it; nothing where none runs."""
        await _all(member.stop() for member in self.members)

    async def kill(self) -> None:
        """End them as a crash of the machine would; nothing where none runs."""
        await _all(member.kill() for member in self.members)

    def freeze(self) -> None:
        """Stop answering while keeping every connection open."""
        for member in self.members:
            member.freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        for member in self.members:
            member.thaw()

    def _check_data(self) -> None:
        """The data of one broker is not that of three: going on would begin with empty topics."""
        members = [node for node in (1, 2, 3) if (self._directory / str(node) / "log").exists()]
        found = 1 if (self._directory / "log").exists() else max(members, default=0)
        if found not in {0, len(self.members)}:
            raise PartUnavailable(
                self.name,
                f"{self._directory} has the data of {found} broker{'s' * (found > 1)}.",
                f"Set embedded.kafka.brokers back to {found}, or name another directory in embedded.data_dir.",
            )


async def _all(steps: Iterable[Awaitable[None]]) -> None:
    """Take all of them to their end, whatever becomes of the others; then raise the first failure."""
    for outcome in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
