"""Sessions and their owners in the memory of one process: right as long as every change is heard of, and for seconds.

A copy is used only while somebody listens to the changes (`users/changes.py`), only until its time is over, and never
when a change came between the question and its answer.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from usercenter.users.model import User
from usercenter.users.tokens import Claims

_MOST_USERS: Final = 5_000


class Owner(NamedTuple):
    """An active user, and until when the session in question lasts."""

    user: User
    expires_at: datetime


class _Copy(NamedTuple):
    owner: Owner
    until: float


class Watch:
    """What was heard while PostgreSQL was asked."""

    def __init__(self, until: float, *, has_gap: bool) -> None:
        self.until = until
        self.changed: set[UUID] = set()
        self.has_gap = has_gap


class Copies:
    """The copies of one process. `seconds`: how long one may be used; 0 keeps none."""

    def __init__(self, *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._is_listening = False
        self._users: OrderedDict[UUID, dict[UUID, _Copy]] = OrderedDict()
        self._watches: set[Watch] = set()

    def find(self, claims: Claims, *, now: datetime) -> User | None:
        """The owner of a session that stands, or None: then PostgreSQL has to be asked."""
        copy = self._users.get(claims.user_id, _NONE).get(claims.session_id)
        if copy is None or copy.until <= self._monotonic() or copy.owner.expires_at <= now:
            return None
        return copy.owner.user

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Around a question to PostgreSQL: `keep` takes its answers together with what was heard meanwhile."""
        watch = Watch(self._monotonic() + self._seconds, has_gap=not self._is_listening)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def keep(self, session_id: UUID, owner: Owner, watch: Watch) -> None:
        """Remember an answer, unless its user changed while it was asked for, or nobody listened.

        Those who have power over others (auditors, admins) are not remembered: their power ends with the commit.
        """
        user_id = owner.user.id
        if not self._is_listening or watch.has_gap or user_id in watch.changed or owner.user.role != "user":
            return
        self._users.setdefault(user_id, {})[session_id] = _Copy(owner, watch.until)
        self._users.move_to_end(user_id)
        if len(self._users) > _MOST_USERS:
            self._users.popitem(last=False)

    def drop(self, user_ids: Collection[UUID]) -> None:
        """These users, or sessions of theirs, are not what they were."""
        for watch in self._watches:
            watch.changed.update(user_ids)
        for user_id in user_ids:
            self._users.pop(user_id, None)

    def begin(self) -> None:
        """From now on every change is heard of."""
        self._is_listening = True

    def end(self) -> None:
        """Changes may go unheard: forget everything, and keep nothing."""
        self._is_listening = False
        self._users.clear()
        for watch in self._watches:
            watch.has_gap = True


_NONE: Final[dict[UUID, _Copy]] = {}
