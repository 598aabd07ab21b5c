"""What `run` and `demo` share: an event loop that ends in order on Ctrl-C and SIGTERM, the parts, and the service."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from usercenter import bootstrap, garbage
from usercenter.bootstrap import Role, Service
from usercenter.cli.loading import embedded_parts
from usercenter.cli.schema import usable
from usercenter.config import Config

if TYPE_CHECKING:
    from usercenter.embedded.parts import Running

Announce = Callable[[str], None]


def run_until_stopped(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run `main` in an event loop (uvloop where there is one); its argument is set by SIGINT and SIGTERM."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_with_signals(main))


@asynccontextmanager
async def service(
    config: Config, *, roles: Collection[Role], announce: Announce
) -> AsyncIterator[tuple[Service, "Running | None"]]:
    """The service, on embedded parts where the configuration has no address for them.

    Parts that another process runs on the same data directory are used, not started again.
    """
    async with AsyncExitStack() as stack:
        parts = None
        if config.embedded.is_enabled:
            config, parts = await _with_parts(stack, config, announce)
        process = await stack.enter_async_context(bootstrap.running(config, roles=roles))
        if parts is not None:
            from usercenter.embedded import endpoints

            endpoints.write(parts.data_dir, replace(parts.endpoints, server_url=process.url))
        garbage.look_seldom()
        yield process, parts


async def _with_parts(stack: AsyncExitStack, config: Config, announce: Announce) -> tuple[Config, "Running | None"]:
    embedded = embedded_parts()
    from usercenter.embedded import endpoints

    if endpoints.read(embedded.data_dir(config)) is not None:
        announce("using the parts that run already")
        return embedded.attached(config), None
    parts = await stack.enter_async_context(embedded.running(config, announce=announce))
    step = await asyncio.to_thread(usable, parts.config.database.url)
    if step and step[0] != step[1] and parts.postgres is None:  # a database of somebody's own
        announce(f"the schema of database.url was brought from {step[0] or 'empty'} to {step[1]}")
    return parts.config, parts


async def _with_signals(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return await main(stopping)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
