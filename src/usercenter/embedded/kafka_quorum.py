"""What the brokers of one cluster have to agree on before the first of them starts."""

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path

from usercenter.embedded import ports

INTERNAL = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")


class Quorum:
    """The cluster's id and the ports of its controllers, for the nodes with these ids and directories."""

    def __init__(self, directories: Mapping[int, Path]) -> None:
        known = [cluster_id for cluster_id in map(cluster_id_in, directories.values()) if cluster_id]
        self.cluster_id = known[0] if known else _new_cluster_id()
        self._nodes = list(directories)
        self._ports: dict[int, int] = {}

    def controllers(self) -> Mapping[int, int]:
        """The port of each node's controller; a node alone gets a free one at each start, several keep theirs."""
        if len(self._nodes) == 1 or not self._ports:
            self._ports = {node: ports.any_free() for node in self._nodes}
        return self._ports

    def replication(self) -> dict[str, str]:
        """How often the brokers keep what is theirs, and how many must have it before it counts."""
        replicas, in_sync = str(len(self._nodes)), str(len(self._nodes) // 2 + 1)
        settings = {"default.replication.factor": replicas, "min.insync.replicas": in_sync}
        for name in INTERNAL:
            settings |= {f"{name}.replication.factor": replicas, f"{name}.min.isr": in_sync}
        del settings["offsets.topic.min.isr"]  # Kafka has none: these are as min.insync.replicas says
        return settings


def cluster_id_in(directory: Path) -> str:
    """The id of the cluster that a broker's directory belongs to; empty where it has not been formatted."""
    path = directory / "log" / "meta.properties"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line).get("cluster.id", "")


def _new_cluster_id() -> str:
    """A UUID in Kafka's spelling; one that begins with a dash would be read as an option."""
    return "u" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
