"""What a broker can do: Kafka's ApiVersions request, which the client library makes but does not hand on.

Version 3 of the request (KIP-511) over a plain socket; allowed before authentication, but not before TLS. The format is
https://kafka.apache.org/protocol#The_Messages_ApiVersions.
"""

import socket
import struct
from typing import Final

import msgspec

API_VERSIONS: Final = 18
_NAMES: Final = {0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch"} | {
    11: "JoinGroup",
    18: "ApiVersions",
    19: "CreateTopics",
    22: "InitProducerId",
    68: "ConsumerGroupHeartbeat",
}
_RELEASES: Final = (  # the first metadata.version level of each release, KafkaConfig's MetadataVersion
    (30, "4.3"),
    (28, "4.2"),
    (26, "4.1"),
    (22, "4.0"),
    (21, "3.9"),
    (20, "3.8"),
    (15, "3.7"),
    (12, "3.6"),
    (9, "3.5"),
    (8, "3.4"),
    (4, "3.3"),
)


class BrokerVersions(msgspec.Struct, frozen=True, kw_only=True):
    """A broker's release, as far as its features tell, and the API versions that matter to us."""

    release: str
    api_versions: dict[str, str]


class _Reader:
    """Reads the protocol's compact types."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, format_: str) -> int:
        (value,) = struct.unpack_from(format_, self._data, self._at)
        self._at += struct.calcsize(format_)
        return int(value)

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7

    def text(self) -> str:
        length = self.varint() - 1
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def skip_tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self._at += self.varint()


def ask(host: str, port: int, *, timeout_seconds: float = 3.0) -> BrokerVersions:
    """Ask one broker. Blocks; raises OSError when it cannot be reached, ValueError when the answer is no Kafka."""
    body = struct.pack(">hhih", API_VERSIONS, 3, 1, 10) + b"usercenter" + b"\x00"
    body += b"\x0busercenter" + b"\x021" + b"\x00"
    with socket.create_connection((host, port), timeout=timeout_seconds) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (length,) = struct.unpack(">i", _exactly(connection, 4))
        if not 0 < length < 1_000_000:
            raise ValueError(f"{host}:{port} does not speak Kafka's protocol")
        return parse(_exactly(connection, length))


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError("the broker closed the connection")
        data += more
    return data


def parse(answer: bytes) -> BrokerVersions:
    """What a broker's answer says, without its length before it. Raises ValueError when it is none."""
    try:
        return _parse(_Reader(answer))
    except (struct.error, IndexError) as error:
        raise ValueError("the answer is not Kafka's: it ends too early") from error


def _parse(reader: _Reader) -> BrokerVersions:
    reader.number(">i")  # correlation id
    if error := reader.number(">h"):
        raise ValueError(f"the broker refused to tell its versions (error {error})")
    ranges = {}
    for _ in range(reader.varint() - 1):
        key, low, high = reader.number(">h"), reader.number(">h"), reader.number(">h")
        reader.skip_tags()
        if key in _NAMES:
            ranges[_NAMES[key]] = f"{low}-{high}"
    reader.number(">i")  # throttle time
    return BrokerVersions(release=_release(_supported_features(reader)), api_versions=ranges)


def _supported_features(reader: _Reader) -> dict[str, int]:
    for _ in range(reader.varint()):
        tag, _ = reader.varint(), reader.varint()
        if tag != 0:
            break
        features = {}
        for _ in range(reader.varint() - 1):
            name, _, high = reader.text(), reader.number(">h"), reader.number(">h")
            reader.skip_tags()
            features[name] = high
        return features
    return {}


def _release(features: dict[str, int]) -> str:
    level = features.get("metadata.version")
    if level is None:
        return "before 3.3, or not telling"
    newest_level, newest = _RELEASES[0]
    if level > newest_level:
        return f"{newest} or later"
    return next((release for first, release in _RELEASES if level >= first), "before 3.3")
