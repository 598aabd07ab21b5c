"""The service in the foreground; knows nothing of how a command line is read."""

import asyncio
from pathlib import Path

from usercenter import logs, memory
from usercenter.bootstrap import ROLES, Role
from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.loading import loaded
from usercenter.cli.process import run_until_stopped, service
from usercenter.cli.terminal import say


def serve(*, roles: str = ",".join(ROLES), config: Path | None = None) -> int:
    """Run the service with these roles until Ctrl-C or SIGTERM; the exit status. Raises CommandFailed."""
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
