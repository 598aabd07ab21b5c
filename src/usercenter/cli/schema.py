"""The schema brought up by a command, or the reason why not; knows nothing of how a command line is read."""

from contextlib import suppress

from usercenter import migrations
from usercenter.cli import UNREACHABLE
from usercenter.cli.failures import CommandFailed


def brought_up(url: str) -> tuple[str | None, str]:
    """Bring the schema up to this version of the code; the revision before and after. Blocks.

    Raises SchemaAhead, and CommandFailed when PostgreSQL cannot do it.
    """
    from sqlalchemy.exc import OperationalError

    try:
        return migrations.upgrade(url)
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise CommandFailed(f"PostgreSQL cannot do it: {reason}; see `database.url`", status=UNREACHABLE) from error


def usable(url: str) -> tuple[str | None, str] | None:
    """As `brought_up`, for a service that starts; None for one of a later version, which is used as it is.

    Raises CommandFailed.
    """
    with suppress(migrations.SchemaAhead):
        return brought_up(url)
    return None
