"""`usercenter user`: what an operator does with accounts; straight in the database, told like every change."""

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from cyclopts import Parameter

from usercenter.cli import CHECK_FAILED, FINE, WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import NOTHING_CHANGED, Json, Yes
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show_facts, show_json
from usercenter.cli.terminal import show as show_line
from usercenter.clock import SystemClock
from usercenter.config import Config
from usercenter.db import Database, Transaction
from usercenter.events import Origin
from usercenter.users.errors import UserError
from usercenter.users.model import Role, User

T = TypeVar("T")

Name = Annotated[str, Parameter(help="Username, address or id.")]
NewRole = Annotated[Role, Parameter(help="What they are from now on.")]
Format = Annotated[Literal["csv", "ndjson"], Parameter(help="Of the lines: CSV with a head line, or NDJSON.")]
_DELETED: Final = "what happened to one that was deleted is found by the id: `usercenter user timeline ID`"
_CHUNK_BYTES: Final = 262_144


def show(who: Name, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Print what is kept about a user."""
    _print(_with_user(config, who, _unchanged), json=json)


def status(
    who: Name,
    new: Annotated[Literal["active", "inactive", "suspended"], Parameter(help="What it is from now on.")],
    /,
    *,
    reason: Annotated[str | None, Parameter(help="Told to the user.")] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Activate, deactivate or suspend an account; unless it is active, its sessions end."""
    from usercenter.users import roles

    async def change(tx: Transaction, user: User) -> User:
        return await roles.change_status(tx, user.id, new, reason=reason, origin=_origin(), clock=SystemClock())

    _print(_with_user(config, who, change), json=json)


def role(who: Name, new: NewRole, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Make somebody an admin, an auditor or a plain user; this is how the first admin comes to be."""
    from usercenter.users import roles

    async def change(tx: Transaction, user: User) -> User:
        return await roles.change_role(tx, user.id, new, origin=_origin(), clock=SystemClock())

    _print(_with_user(config, who, change), json=json)


def delete(who: Name, /, *, yes: Yes = False, json: Json = False, config: ConfigFile = None) -> None:
    """Delete an account, for good; its personal data is purged. Without --yes only say which."""
    from usercenter.users import roles

    async def remove(tx: Transaction, user: User) -> User:
        if yes:
            await roles.delete(tx, user.id, deleted_by="operator", origin=_origin(), clock=SystemClock())
        return user

    deleted = _with_user(config, who, remove)
    if json:
        show_json({"id": deleted.id, "is_done": yes})
    else:
        show_line(plain(f"{deleted.username} ({deleted.id}) {'deleted' if yes else 'would be deleted for good'}"))
    if not yes:
        say(NOTHING_CHANGED)


def import_(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, help="The records; - for stdin.")],
    /,
    *,
    id: Annotated[
        UUID | None, Parameter(help="Go on with this import; else a new one begins, whose id is told.")
    ] = None,
    format: Annotated[  # noqa: A002  # the option's name
        Literal["csv", "ndjson"] | None, Parameter(help="Else by the file's name: .csv, or NDJSON.")
    ] = None,
    welcome: Annotated[bool, Parameter(negative="", help="Send each new user a welcome mail.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Open an account for each record of FILE (`-`: stdin): CSV with a head line, or NDJSON.

    Columns: username, email, and password or password_hash (argon2id, bcrypt) or neither, first_name, last_name, phone,
    locale. Prints the lines that made no account, and why; status 1 when there are any. After a kill the same file and
    --id go on where it stopped.
    """
    from usercenter.events import new_id

    kind: Literal["csv", "ndjson"] = format or ("csv" if file.suffix.lower() == ".csv" else "ndjson")
    import_id = id or new_id()
    settings = of_running(config)
    with _opened(file) as stream:
        say(f"import {import_id}")
        body = asyncio.run(_import(settings, stream, kind, import_id, has_welcome=welcome))
    if json:
        show_json(body)
    else:
        for refusal in body["errors"]:
            show_line(plain(f"{refusal.line}: {refusal.field}: {refusal.message}"))
    progress = body["progress"]
    say(f"{progress.accepted} accounts opened, {progress.refused} records refused")
    return CHECK_FAILED if progress.refused else FINE


def export(*, format: Format = "ndjson", config: ConfigFile = None) -> None:  # noqa: A002
    """Print every user that is not deleted, as of one moment, oldest first; no password, no hash of one."""
    from usercenter.users.directory import Search
    from usercenter.users.exports import export_lines

    async def write(database: Database) -> None:
        async for chunk in export_lines(database, Search(), format):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    asyncio.run(_with_database(of_running(config), write))


async def _import(
    config: Config, stream: BinaryIO, kind: Literal["csv", "ndjson"], import_id: UUID, *, has_welcome: bool
) -> dict[str, Any]:
    from usercenter.users import import_queries
    from usercenter.users.imports import Importer
    from usercenter.users.passwords import Passwords

    passwords = Passwords()

    async def run(database: Database) -> dict[str, Any]:
        importer = Importer(
            database, passwords, config.accounts, SystemClock(), hashes_at_once=len(os.sched_getaffinity(0))
        )
        done = await importer.run(import_id, _chunks(stream), kind, has_welcome=has_welcome, origin=_origin())
        async with database.transaction() as tx:
            errors = await import_queries.errors_of(tx, done.id, limit=1_000_000)
        return {"progress": done, "errors": errors}

    try:
        return await _with_database(config, run)
    except UserError as error:
        raise CommandFailed(str(error)) from error
    finally:
        passwords.close()


def _opened(file: Path) -> BinaryIO:
    try:
        return sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}", status=WRONG_USAGE) from error


async def _chunks(stream: Any) -> AsyncIterator[bytes]:
    """The file, with a bar on a terminal that shows how far it is read."""
    from rich.console import Console
    from rich.progress import Progress

    total = os.fstat(stream.fileno()).st_size or None  # nothing is known of a pipe
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("importing", total=total)
        while chunk := await asyncio.to_thread(stream.read1, _CHUNK_BYTES):
            yield chunk
            progress.update(bar, advance=len(chunk))


def _with_user(config: Path | None, who: str, work: Callable[[Transaction, User], Awaitable[User]]) -> User:
    """Find the user and do the work in one transaction. Raises CommandFailed with the reason of a refusal."""

    async def run(database: Database) -> User:
        async with database.transaction() as tx:
            return await work(tx, await _found(tx, who))

    try:
        return asyncio.run(_with_database(of_running(config), run))
    except UserError as error:
        raise CommandFailed(str(error)) from error


async def _with_database(config: Config, work: Callable[[Database], Awaitable[T]]) -> T:
    from usercenter.users.changes import Changes  # and with it the client of the cache, which most commands never need
    from usercenter.users.copies import Copies

    database, changes = Database(config.database), Changes(config.cache.url, Copies(seconds=0))
    database.tell = changes.tell
    await database.open()
    try:
        return await work(database)
    finally:
        await database.close()
        await changes.close()


async def id_of(tx: Transaction, who: str) -> UUID | None:
    """The id of who is called so, as a username or an address; an id is its own, whoever has it, or had."""
    from usercenter.users import service

    try:
        return UUID(who)
    except ValueError:
        key = {"username": None, "email": who} if "@" in who else {"username": who, "email": None}
        found = await service.find_credentials(tx, **key)
        return found.user.id if found else None


async def _found(tx: Transaction, who: str) -> User:
    from usercenter.users import queries

    user_id = await id_of(tx, who)
    user = await queries.find(tx, user_id) if user_id else None
    if user is None:
        raise CommandFailed(f"there is no user {who}; {_DELETED}")
    return user


async def _unchanged(tx: Transaction, user: User) -> User:
    del tx
    return user


def _origin() -> Origin:
    return Origin(actor=f"operator:{getpass.getuser()}")


def _print(user: User, *, json: bool) -> None:
    if json:
        show_json(user)
    else:
        show_facts(msgspec.to_builtins(user))
