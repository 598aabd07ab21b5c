"""What a broker says about itself, read from bytes that real brokers sent."""

import base64
import socketserver
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from usercenter.messaging import api_versions

KAFKA_4_3 = zlib.decompress(
    base64.b85decode(
        "c-m!=Sx>@16on531vjLK;)>$F*6qQVXre}66kOuIyo@lxCS}RA`ak?({wHsHA_=k6<ePKuxzpPgKny4$yavL30$IS4O&<`anG)R#^oS{t"
        "8{G)Y;-FuUh*IbR(!?Mm87dpmGqOw$$ze$#CzeEp5k3qfOy*@Tkx{BKHjGnENP{FNsis89bOmCXn2E+mk!Q}bVNM_o^E4L_z11QcmKa$k"
        "R%os=xkjvW_zl8|z7sZyEt=cJ4$WO+kL~-!0ddIM5phhMuy)E*&WLm3f{~K!MU{z5j(bI1GkL@0EpbQOv-UvsNcBYZOuW#1rFz5P6-VB("
        ">pD<X6)5LR8{cg<<j2VuPcdQtSl_W^x@MZ6t#%+BFyjYCtGeG|<^rP{zN!Rbv<sH3qW0XH`|fGS)2gbCV|2@NE2^_S?SCkvJFNfH6=eMa"
        "|8+wz"
    )
)
"""Apache Kafka 4.3.1's answer to version 3 of the request."""
TOO_NEW_A_REQUEST = bytes.fromhex("00000001002300000001001200000004")
"""Apache Kafka's answer to a version that it does not know: error 35, in the form of version 0."""


def test_a_broker_tells_its_release_and_its_api_versions() -> None:
    found = api_versions.parse(KAFKA_4_3)
    assert found.release == "4.3"
    assert found.api_versions["Produce"] == "0-13"
    assert found.api_versions["Fetch"] == "4-18"
    assert found.api_versions["ConsumerGroupHeartbeat"] == "0-1"


def test_a_broker_that_does_not_know_the_request_is_said_so() -> None:
    with pytest.raises(ValueError, match="error 35"):
        api_versions.parse(TOO_NEW_A_REQUEST)


@pytest.mark.parametrize("length", range(0, 560, 7))
def test_an_answer_that_ends_too_early_is_a_value_error(length: int) -> None:
    with pytest.raises(ValueError, match="Kafka"):
        api_versions.parse(KAFKA_4_3[:length])


def test_a_server_that_speaks_something_else_is_a_value_error() -> None:
    with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(ValueError, match="does not speak Kafka"):
        api_versions.ask("127.0.0.1", port, timeout_seconds=2)


def test_a_server_that_hangs_up_is_an_os_error() -> None:
    with serving(struct.pack(">i", 100) + b"half") as port, pytest.raises(OSError, match="closed"):
        api_versions.ask("127.0.0.1", port, timeout_seconds=2)


def test_a_real_answer_over_a_socket_is_read_whole() -> None:
    with serving(struct.pack(">i", len(KAFKA_4_3)) + KAFKA_4_3) as port:
        assert api_versions.ask("127.0.0.1", port, timeout_seconds=2).release == "4.3"


@contextmanager
def serving(answer: bytes) -> Iterator[int]:
    """A server that reads one request, gives this answer and hangs up."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1_000)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
