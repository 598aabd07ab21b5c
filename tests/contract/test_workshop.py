"""The parts of the service as an operator's command uses them."""

import os
import socket
from pathlib import Path

from harness import World

from usercenter.bootstrap import workshop


def listening() -> set[tuple[str, int]]:
    """The addresses on which this process takes connections."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(path.name))) as each:
                if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(each.getsockname()[:2])
        except OSError:  # no socket, or closed meanwhile
            continue
    return found


async def test_a_command_listens_on_no_port(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert other.getsockname() in listening()
    before = listening()
    async with workshop(world.config) as parts:
        async with parts.database.reading() as tx:
            assert await tx.fetch_one("select 1") == (1,)
        assert listening() == before
