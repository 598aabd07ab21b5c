"""`usercenter top`."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import show_json

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.db import Database
    from usercenter.messaging.groups import Group
    from usercenter.messaging.operations.pulse import Pulse

_KEYS: Final = "q quits"
_QUIT: Final = {b"q", b"Q", b"\x1b", b""}
_WITHOUT_TERMINAL: Final = (80, 24)


def top(
    *,
    every: Annotated[float, Parameter(validator=Number(gte=0.2), help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, Parameter(negative="", help="Print one frame and end; needs no terminal.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Watch how work flows: outbox, Kafka, inbox, tasks, dead letters; time behind for each group and handler; stops.

    Asks PostgreSQL alone; lags are as a worker saw them, which looks every five seconds. `q` and Ctrl-C end it. With
    --json it prints the numbers of one look and ends.
    """
    if not once and not json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandFailed("a live view needs a terminal: --once prints one frame", status=WRONG_USAGE)
    asyncio.run(_watch(of_running(config), every=every, is_once=once or json, json=json))


async def _watch(config: "Config", *, every: float, is_once: bool, json: bool) -> None:
    from usercenter.bootstrap import reactions_of
    from usercenter.db import Database

    _, groups = reactions_of(config)
    database = Database(config.database)
    await database.open()
    try:
        if is_once:
            await _once(database, groups, every=every, json=json)
        else:
            await _live(database, groups, every=every)
    finally:
        await database.close()


async def _once(database: "Database", groups: "Sequence[Group]", *, every: float, json: bool) -> None:
    """Two looks, for the rates between them."""
    from rich.console import Console

    from usercenter.cli.top_frame import frame
    from usercenter.messaging.operations.pulse import rates

    before = await _look(database, groups)
    await asyncio.sleep(every)
    pulse = await _look(database, groups)
    if json:
        show_json({"pulse": pulse, "per_second": rates(before, pulse)})
        return
    width, height = _WITHOUT_TERMINAL
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=width, height=height)
    console.print(frame(pulse, rates(before, pulse), height=console.height))


async def _live(database: "Database", groups: "Sequence[Group]", *, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from usercenter.cli.top_frame import frame
    from usercenter.messaging.operations.pulse import Pulse, rates

    console = Console(highlight=False)
    wake, quit_ = asyncio.Event(), asyncio.Event()
    before: Pulse | None = None
    with _keys(wake, quit_), Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while not quit_.is_set():
            pulse = await _look(database, groups)
            live.update(frame(pulse, rates(before, pulse), height=console.height, keys=_KEYS), refresh=True)
            before = pulse
            while await _resized(wake, every) and not quit_.is_set():
                live.update(frame(pulse, rates(before, pulse), height=console.height, keys=_KEYS), refresh=True)


async def _resized(wake: asyncio.Event, seconds: float) -> bool:
    """Wait for the next look; True when the terminal changed, or a key came, before it was time."""
    wake.clear()
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _look(database: "Database", groups: "Sequence[Group]") -> "Pulse":
    from usercenter.messaging.operations.pulse import look

    async with database.transaction() as tx:
        return await look(tx, groups)


@contextmanager
def _keys(wake: asyncio.Event, quit_: asyncio.Event) -> Iterator[None]:
    """Keys as they are pressed, unseen; the terminal is as before afterwards, whatever ends it."""
    import termios
    import tty

    loop, file = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def end() -> None:
        quit_.set()
        wake.set()

    def pressed() -> None:
        if os.read(file, 1) in _QUIT:
            end()

    tty.setcbreak(file)
    loop.add_reader(file, pressed)
    loop.add_signal_handler(signal.SIGWINCH, wake.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        loop.remove_reader(file)
        for number in (signal.SIGWINCH, signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
