"""Made-up lives of users, with all six types of events; the same at every run."""

import random
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from usercenter.events import (
    UserDeleted,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    new_id,
)
from usercenter.events.user_events import UserEvent

EVENTS_OF_A_USER: Final = 10
LOGINS_OF_A_USER: Final = 5
ONE_IN: Final = 10
"""One user in so many is deleted in the end, instead of a second update."""

_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def events(number: int) -> list[UserEvent]:
    """So many events of a tenth as many users, mixed; each user's own are in order.

    Everybody registers, logs in five times, changes the password, is suspended and updated; one in ten is deleted.
    """
    lives = [_life(user, is_deleted=user % ONE_IN == 0) for user in range(number // EVENTS_OF_A_USER)]
    turns = [life for life in map(iter, lives) for _ in range(EVENTS_OF_A_USER)]
    random.Random(1).shuffle(turns)  # noqa: S311  # the same order at every run; guards nothing
    return [next(life) for life in turns]


def _life(number: int, *, is_deleted: bool) -> list[UserEvent]:
    user = new_id()
    steps = [UserRegistered, UserLoggedIn, UserLoggedIn, UserPasswordChanged, UserLoggedIn, UserStatusChanged]
    steps += [UserLoggedIn, UserUpdated, UserLoggedIn, UserDeleted if is_deleted else UserUpdated]
    return [_event(user, f"user-{number}", sequence, step) for sequence, step in enumerate(steps, start=1)]


def _event(user: UUID, name: str, sequence: int, kind: type[Any]) -> UserEvent:
    own: dict[type[Any], dict[str, Any]] = {
        UserRegistered: {"locale": "zh-CN"},
        UserLoggedIn: {"ip_address": "192.0.2.7", "user_agent": _AGENT},
        UserPasswordChanged: {"ip_address": "192.0.2.7"},
        UserStatusChanged: {"old_status": "active", "new_status": "suspended"},
        UserUpdated: {"changes": {"first_name": "Ana"}},
        UserDeleted: {"deleted_by": str(user)},
    }
    event: UserEvent = kind(
        id=new_id(),
        timestamp=datetime.now(UTC),
        request_id=str(new_id()),
        user_id=user,
        actor=str(user),
        sequence=sequence,
        username=name,
        email=f"{name}@example.com",
        **own[kind],
    )
    return event
