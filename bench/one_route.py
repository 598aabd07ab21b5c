"""`python -m bench.one_route`: the smallest application of the product's framework, on the product's HTTP server.

It has one route, which answers a struct as large as an account; nobody is asked who sends, nothing is read, counted or
logged.
"""

import asyncio
import sys
from datetime import UTC, datetime

import uvloop
from litestar import Litestar, get

from usercenter.api.views import Me, UserView
from usercenter.config.model import Server
from usercenter.events import new_id
from usercenter.server import HttpServer
from usercenter.users.model import User

_NOW = datetime.now(UTC)
_USER = UserView.of(
    User(id=new_id(), username="anybody", email="anybody@example.com", created_at=_NOW, updated_at=_NOW)
)


@get("/")
async def route() -> Me:
    """An account."""
    return Me(_USER)


async def _serve() -> None:
    application = Litestar([route], openapi_config=None, logging_config=None)
    server = HttpServer(application, Server(), port=0)
    await server.start()
    host, port = server.address
    sys.stderr.write(f"one route answers at http://{host}:{port}\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
