"""`usercenter run`."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from usercenter import logs, memory
from usercenter.bootstrap import ROLES, Role
from usercenter.cli import WRONG_USAGE, candidates
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import say
from usercenter.cli.process import run_until_stopped, service
from usercenter.cli.settings import ConfigFile, loaded


def run(
    *,
    roles: Annotated[
        str, Parameter(completer=candidates.roles, help="Which work this process does: any of api,relay,worker.")
    ] = ",".join(ROLES),
    config: ConfigFile = None,
) -> int:
    """Run the service until Ctrl-C or SIGTERM; then nothing new is begun, and what is in hand is finished."""
    settings = loaded(config).config
    chosen = _roles(roles)
    logs.configure(settings.logging)
    memory.keep_little(is_hashing="api" in chosen)

    async def main(stopping: asyncio.Event) -> int:
        async with service(settings, roles=chosen, announce=say) as (process, _):
            say(f"usercenter ({', '.join(chosen)}) answers at {process.url}")
            await stopping.wait()
            say("stopping: finishing what is in hand")
        return 0

    return run_until_stopped(main)


def _roles(text: str) -> list[Role]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in ROLES]
    if unknown or not wanted:
        raise CommandFailed(
            f"no such role: {', '.join(unknown) or text!r}; choose of {', '.join(ROLES)}", status=WRONG_USAGE
        )
    return [role for role in ROLES if role in wanted]
