"""The words: what an event is, which ones exist, and how they look on the wire."""

from usercenter.events.analytics import METRICS, AnalyticsFact, Metric
from usercenter.events.envelope import (
    Event,
    Origin,
    Personal,
    PersonalFacts,
    derived_id,
    encode,
    encode_headers,
    headers_of,
    is_type,
    new_id,
    type_of,
)
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

EVENTS = (*USER_EVENTS, NotificationRequested, AnalyticsFact)
"""Every event of the service; extensions add theirs."""

__all__ = [
    "EVENTS",
    "METRICS",
    "USER_EVENTS",
    "AnalyticsFact",
    "Event",
    "Metric",
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
    "encode_headers",
    "headers_of",
    "is_type",
    "new_id",
    "type_of",
]
