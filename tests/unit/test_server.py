import asyncio

import pytest

from usercenter.server import _Joining


class Wire(asyncio.Transport):
    """Remembers each piece that is sent."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.is_closed = False

    def write(self, data):
        self.sent.append(bytes(data))

    def close(self):
        self.is_closed = True

    def is_closing(self):
        return self.is_closed


@pytest.fixture
def wire():
    return Wire()


async def test_head_and_body_of_an_answer_are_one_piece(wire):
    transport = _Joining(wire)
    transport.write(b"head,")
    transport.write(b"body")
    assert wire.sent == []

    await asyncio.sleep(0)
    assert wire.sent == [b"head,body"]


async def test_what_is_written_later_is_another_piece(wire):
    transport = _Joining(wire)
    for data in (b"one", b"two"):
        transport.write(data)
        await asyncio.sleep(0)

    assert wire.sent == [b"one", b"two"]


async def test_much_is_not_held_back_and_nothing_is_sent_twice_or_out_of_order(wire):
    transport = _Joining(wire)
    for data in (b"a" * 60_000, b"b" * 60_000, b"c"):
        transport.write(data)
    assert len(wire.sent) == 1

    await asyncio.sleep(0)
    assert b"".join(wire.sent) == b"a" * 60_000 + b"b" * 60_000 + b"c"


async def test_what_was_written_goes_out_before_the_connection_closes(wire):
    transport = _Joining(wire)
    transport.write(b"last words")
    transport.close()

    await asyncio.sleep(0)
    assert (wire.sent, wire.is_closed) == ([b"last words"], True)


async def test_nothing_is_written_to_a_connection_that_is_gone(wire):
    transport = _Joining(wire)
    transport.write(b"unheard")
    wire.close()

    await asyncio.sleep(0)
    assert wire.sent == []
