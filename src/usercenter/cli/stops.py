"""`usercenter groups resume`."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from usercenter.cli import candidates
from usercenter.cli.failures import CommandFailed
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import say


def resume(
    name: Annotated[str, Parameter(completer=candidates.stoppable, help="The group, or the handler.")],
    /,
    *,
    config: ConfigFile = None,
) -> None:
    """Let a group, or a handler of tasks, go on that stopped itself because too much failed.

    Mend the cause first: a stop costs nothing but time, and going on too early makes more dead letters.
    """
    from usercenter.config import Config
    from usercenter.db import Database
    from usercenter.messaging import stops

    async def remove(settings: Config) -> tuple[bool, list[str]]:
        database = Database(settings.database)
        await database.open()
        try:
            async with database.transaction() as tx:
                return await stops.remove(tx, name), [each.name for each in await stops.everything(tx)]
        finally:
            await database.close()

    has_resumed, others = asyncio.run(remove(of_running(config)))
    if not has_resumed:
        raise CommandFailed(f"{name} is not stopped; stopped are: {', '.join(others) or 'none'}")
    say(f"{name} goes on within seconds")
