"""Whose a session is, and whether it still stands: from a copy that is known to be right, or else from PostgreSQL.

PostgreSQL is asked for many requests at once. Those that come while a question is under way wait for its end, and are
then asked for together, in one statement. So no answer of PostgreSQL's is older than the request, and under load a
request costs a part of a statement instead of a transaction.
"""

import asyncio
from contextvars import Context
from typing import Final, NamedTuple, cast
from uuid import UUID

from usercenter.clock import Clock
from usercenter.db import Database
from usercenter.users import queries
from usercenter.users.copies import Copies
from usercenter.users.errors import TokenInvalid
from usercenter.users.model import User
from usercenter.users.tokens import Claims

_AT_ONCE: Final = 2
"""Questions under way. A second one keeps PostgreSQL busy while the answers to the first are carried out."""


class _Question(NamedTuple):
    claims: Claims
    answer: asyncio.Future[User | None]


class Owners:
    """The owners of sessions; shared by all requests of a process. Decision 0018 says what may be seen how late."""

    def __init__(self, database: Database, copies: Copies, *, clock: Clock) -> None:
        self._database = database
        self._copies = copies
        self._clock = clock
        self._waiting: list[_Question] = []
        self._askers: set[asyncio.Task[None]] = set()

    async def of(self, claims: Claims, *, is_reading: bool = False) -> User:
        """The user behind a checked access token. Only a request that reads may get a copy.

        Raises TokenInvalid when the session or the account has ended, DatabaseUnavailable.
        """
        if is_reading and (user := self._copies.find(claims, now=self._clock.now())):
            return user
        return await self._asked(claims)

    async def _asked(self, claims: Claims) -> User:
        answer: asyncio.Future[User | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(claims, answer))
        if len(self._askers) < _AT_ONCE:
            asker = asyncio.create_task(self._ask(), context=Context())  # for many requests, so in the name of none
            self._askers.add(asker)
        user = await answer
        if user is None or user.id != claims.user_id:
            raise TokenInvalid("the session has ended: log in again")
        return user

    async def _ask(self) -> None:
        """Ask for all who wait, and for those who came meanwhile, until nobody waits."""
        try:
            while self._waiting:
                await self._ask_for_all()
        finally:
            # at once, and not when the loop comes to it: whoever asks in between would wait for an asker that has ended
            self._askers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _ask_for_all(self) -> None:
        asked, self._waiting = self._waiting, []
        try:
            owners = await self._owners_of({question.claims.session_id for question in asked})
        except Exception as error:  # noqa: BLE001  # it belongs to those who wait
            _fail(asked, error)
        else:
            _answer(asked, owners)

    async def _owners_of(self, session_ids: set[UUID]) -> dict[UUID, User]:
        with self._copies.watched() as watch:
            async with self._database.reading() as tx:
                owners = await queries.owners_of(tx, session_ids, now=self._clock.now())
            for session_id, owner in owners.items():
                self._copies.keep(session_id, owner, watch)
        return {session_id: owner.user for session_id, owner in owners.items()}


def _answer(asked: list[_Question], owners: dict[UUID, User]) -> None:
    for claims, answer in asked:
        if not answer.done():  # its client may have left
            answer.set_result(owners.get(claims.session_id))


def _fail(asked: list[_Question], error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
