"""`usercenter db`."""

from usercenter.cli import UNREACHABLE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import say, show, show_json


def upgrade(*, config: ConfigFile = None) -> None:
    """Bring the schema up to this version of the code; does nothing when it is."""
    from usercenter import migrations
    from usercenter.cli.schema import brought_up

    try:
        before, after = brought_up(of_running(config).database.url)
    except migrations.SchemaAhead as error:
        raise CommandFailed(str(error)) from error
    say(f"schema: {before or 'empty'} → {after}")


def current(*, json: Json = False, config: ConfigFile = None) -> int:
    """Print the schema's revision; status 1 when it is not the one that this code needs."""
    import psycopg

    from usercenter import migrations

    try:
        found = migrations.current(of_running(config).database.url)
    except psycopg.OperationalError as error:
        raise CommandFailed(f"PostgreSQL cannot be reached: {error}", status=UNREACHABLE) from error
    if json:
        show_json({"revision": found, "needed": migrations.head()})
    else:
        show(found or "empty")
    if found != migrations.head() and not migrations.is_ahead(found):
        raise CommandFailed(f"this code needs {migrations.head()}: run `usercenter db upgrade`")
    return 0
