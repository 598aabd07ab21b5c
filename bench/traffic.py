"""Made-up events: users who register and then log in, mixed as real traffic is, the same at every run."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from usercenter.events import UserLoggedIn, UserRegistered, new_id
from usercenter.events.user_events import UserEvent

EVENTS_OF_A_USER: Final = 4
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def events(number: int, users: Sequence[UUID] = ()) -> list[UserEvent]:
    """So many events of a quarter as many users: each registers, then logs in three times; users are shuffled.

    `users` are taken in the place of new ones.
    """
    turns = [*(users or [new_id() for _ in range(number // EVENTS_OF_A_USER)])] * EVENTS_OF_A_USER
    random.Random(1).shuffle(turns)  # noqa: S311  # the same order at every run; guards nothing
    sequences: Counter[UUID] = Counter()
    found = []
    for user in turns:
        sequences[user] += 1
        found.append(_event(user, sequences[user]))
    return found


def _event(user: UUID, sequence: int) -> UserEvent:
    name, request = f"user-{user.hex[-12:]}", str(new_id())
    now, email = datetime.now(UTC), f"{name}@example.com"
    if sequence == 1:
        return UserRegistered(
            id=new_id(), timestamp=now, request_id=request, user_id=user, actor=str(user), sequence=sequence,
            username=name, email=email, locale="zh-CN",
        )  # fmt: skip
    return UserLoggedIn(
        id=new_id(), timestamp=now, request_id=request, user_id=user, actor=str(user), sequence=sequence,
        username=name, email=email, ip_address="192.0.2.7", user_agent=_AGENT,
    )  # fmt: skip


def registrations(number: int) -> list[UserRegistered]:
    """So many users who register."""
    return [event for _ in range(number) if isinstance(event := _event(new_id(), 1), UserRegistered)]


def logins(number: int, *, each: int) -> list[UserLoggedIn]:
    """So many logins, `each` of every user, in turns: all first ones, then all second ones; sequences from 1."""
    users = [new_id() for _ in range(number // each)]
    found = [_event(user, turn + 2) for turn in range(each) for user in users]
    return [replace(event, sequence=(event.sequence or 0) - 1) for event in found if isinstance(event, UserLoggedIn)]
