"""Whose a session is, and whether it still stands: asked of PostgreSQL by every request, for many of them at once.

Requests that come while a question is under way wait for its end, and are then asked for together, in one statement. So
no answer is older than its request, and under load a request costs a part of a statement instead of a transaction.
"""

import asyncio
from contextvars import Context
from typing import Final, NamedTuple

from usercenter.clock import Clock
from usercenter.db import Database
from usercenter.users import queries
from usercenter.users.errors import TokenInvalid
from usercenter.users.model import User
from usercenter.users.tokens import Claims

_AT_ONCE: Final = 2
"""Questions under way. A second one keeps PostgreSQL busy while the answers to the first are carried out."""


class _Question(NamedTuple):
    claims: Claims
    answer: asyncio.Future[User | None]


class Owners:
    """The owners of sessions, as PostgreSQL has them now; shared by all requests of a process."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[_Question] = []
        self._askers: set[asyncio.Task[None]] = set()

    async def of(self, claims: Claims) -> User:
        """The user behind a checked access token.

        Raises TokenInvalid when the session or the account has ended, DatabaseUnavailable.
        """
        answer: asyncio.Future[User | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(claims, answer))
        if len(self._askers) < _AT_ONCE:
            asker = asyncio.create_task(self._ask(), context=Context())  # for many requests, so in the name of none
            self._askers.add(asker)
            asker.add_done_callback(self._askers.discard)
        user = await answer
        if user is None or user.id != claims.user_id:
            raise TokenInvalid("the session has ended: log in again")
        return user

    async def _ask(self) -> None:
        """Ask for all who wait, and for those who came meanwhile, until nobody waits."""
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                ids = {question.claims.session_id for question in asked}
                owners = await queries.owners_of(self._database, ids, now=self._clock.now())
            except Exception as error:  # noqa: BLE001  # it belongs to those who wait
                _tell(asked, error)
            else:
                for question in asked:
                    if not question.answer.done():  # its client may have left
                        question.answer.set_result(owners.get(question.claims.session_id))


def _tell(asked: list[_Question], error: Exception) -> None:
    for question in asked:
        if not question.answer.done():
            question.answer.set_exception(error)
