"""The words: what an event is, which ones exist, and how they look on the wire."""

from usercenter.events.envelope import Event, Origin, Personal, PersonalFacts, derived_id, encode, headers_of, new_id
from usercenter.events.notifications import NotificationRequested
from usercenter.events.registry import Registry, Undecodable, UnknownType
from usercenter.events.user_events import (
    USER_EVENTS,
    UserDeleted,
    UserEvent,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
)

__all__ = [
    "USER_EVENTS",
    "Event",
    "NotificationRequested",
    "Origin",
    "Personal",
    "PersonalFacts",
    "Registry",
    "Undecodable",
    "UnknownType",
    "UserDeleted",
    "UserEvent",
    "UserLoggedIn",
    "UserPasswordChanged",
    "UserRegistered",
    "UserStatusChanged",
    "UserUpdated",
    "derived_id",
    "encode",
    "headers_of",
    "new_id",
]
