"""Bulk import: many accounts from one file, in batches of one transaction each.

What a batch has done, and how far the file is read by it, is committed together: after a kill at any moment the same
file and the same id go on behind the last batch, and no account is made twice. Each account tells `user.registered`
as any registration does; its `data` names the import and says whether the user is to be welcomed.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from usercenter.clock import Clock
from usercenter.config.model import Accounts
from usercenter.db import Database
from usercenter.events import Origin, UserRegistered, new_id
from usercenter.messaging import outbox
from usercenter.users import import_queries, names
from usercenter.users.drafts import problems_of
from usercenter.users.errors import Problem
from usercenter.users.import_queries import Import, ImportConflict, Ready
from usercenter.users.import_records import REQUIRED, Format, Record, records
from usercenter.users.model import User
from usercenter.users.passwords import Passwords, check_hash

BATCH_RECORDS: Final = 500
_LOCALES: Final = ("en", "zh-CN")


class Importer:
    """Runs imports. `hashes_at_once` bounds how much of the cores passwords get, so that logins do not wait."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        accounts: Accounts,
        clock: Clock,
        *,
        hashes_at_once: int = 1,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._accounts = accounts
        self._clock = clock
        self._hashing = asyncio.Semaphore(hashes_at_once)

    async def run(
        self,
        import_id: UUID,
        chunks: AsyncIterator[bytes],
        kind: Format,
        *,
        has_welcome: bool,
        origin: Origin,
        on_progress: Callable[[Import], None] = lambda _: None,
    ) -> Import:
        """Import the file to its end, or go on with one that was broken off. A finished one is not done again.

        Raises InvalidFields (the head line), ImportConflict, DatabaseUnavailable; what is committed stays.
        """
        async with self._database.transaction() as tx:
            state, seen = await import_queries.begin(
                tx, import_id, kind, has_welcome=has_welcome, started_by=origin.actor, now=self._clock.now()
            )
        digest, batch = hashlib.sha256(), list[Record]()
        is_checked = state.lines_read == 0
        async for record in records(chunks, kind):
            if not is_checked and record.line > state.lines_read:
                _require_same(digest.digest(), seen)
                is_checked = True
            digest.update(record.raw + b"\n")
            if record.line <= state.lines_read:
                continue
            batch.append(record)
            if len(batch) == BATCH_RECORDS:
                state = await self._make(state, batch, digest.digest(), origin)
                on_progress(state)
                batch = []
        if not is_checked:
            _require_same(digest.digest(), seen)
        if batch:
            state = await self._make(state, batch, digest.digest(), origin)
        async with self._database.transaction() as tx:
            return await import_queries.finish(tx, import_id, self._clock.now())

    async def _make(self, state: Import, batch: list[Record], digest: bytes, origin: Origin) -> Import:
        """One batch: check, hash, then one transaction."""
        now = self._clock.now()
        checked = [(record, _problems(self._accounts, record)) for record in batch]
        refused = [(record.line, problem) for record, problems in checked for problem in problems]
        good = [record for record, problems in checked if not problems]
        hashes = await asyncio.gather(*(self._hash(record) for record in good))
        ready = [_ready(record, hash_, now) for record, hash_ in zip(good, hashes, strict=True)]
        async with self._database.transaction() as tx:
            await import_queries.lock(tx, state)
            made = await import_queries.insert(tx, ready)
            if left := [each for each in ready if each.user.id not in made]:
                refused += await import_queries.taken(tx, left)
            events = [_event(each.user, state, origin) for each in ready if each.user.id in made]
            if events:
                await outbox.add(tx, *events, traceparent=origin.traceparent)
            await import_queries.keep_errors(tx, state.id, refused)
            return await import_queries.advance(tx, state, batch, digest, accepted=len(events))

    async def _hash(self, record: Record) -> str:
        if password := record.fields.get("password"):
            async with self._hashing:
                return await self._passwords.hash(password)
        return record.fields.get("password_hash", "")


def _problems(accounts: Accounts, record: Record) -> list[Problem]:
    """The same rules as for a registration, but a password may be missing, or be a hash of another system."""
    if record.problems:
        return record.problems
    fields = record.fields
    found = [Problem(name, "missing", "is required") for name in REQUIRED if name not in fields]
    found += problems_of(accounts, fields)
    if "password_hash" in fields and (problem := check_hash(fields["password_hash"])):
        found.append(problem)
    if "password" in fields and "password_hash" in fields:
        found.append(Problem("password_hash", "twice", "give a password or a hash, not both"))
    if fields.get("locale", "en") not in _LOCALES:
        found.append(Problem("locale", "choice", f"is none of {', '.join(_LOCALES)}"))
    return found


def _ready(record: Record, password_hash: str, now: datetime) -> Ready:
    email, _ = names.check_email(record.fields["email"])
    user = User(
        id=new_id(),
        username=record.fields["username"],
        email=email,
        first_name=record.fields.get("first_name"),
        last_name=record.fields.get("last_name"),
        phone=record.fields.get("phone"),
        locale=record.fields.get("locale"),
        created_at=now,
        updated_at=now,
    )
    return Ready(record.line, user, password_hash)


def _event(user: User, state: Import, origin: Origin) -> UserRegistered:
    return UserRegistered(
        id=new_id(),
        timestamp=user.created_at,
        request_id=origin.request_id,
        user_id=user.id,
        actor=origin.actor,
        sequence=user.sequence,
        data={"import": str(state.id), "welcome": state.has_welcome},
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        locale=user.locale,
    )


def _require_same(digest: bytes, seen: bytes) -> None:
    if digest != seen:
        raise ImportConflict("the file differs from the one that this import was begun with: use a new id")
