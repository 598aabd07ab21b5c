"""Everything that a company needs to add its own events and reactions: one file, imported from here alone.

    class UserProfileUpdated(UserEvent, type="user.profile_updated"):
        ...

    extension = Extension(events=[UserProfileUpdated], handlers={UserProfileUpdated: [outside(refresh_search_index)]})

The module's name goes into the configuration: `extensions: [acme.profile]`. See docs/custom-events.md.
"""

from usercenter.clock import Clock, HeldClock, SystemClock
from usercenter.db import Transaction
from usercenter.events import (
    NotificationRequested,
    Personal,
    Registry,
    UserDeleted,
    UserEvent,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    derived_id,
    encode,
    headers_of,
    new_id,
)
from usercenter.extension.loading import ExtensionInvalid
from usercenter.extension.model import Extension
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context, NotYet, PermanentFailure, Schedule, outside, record

__all__ = [
    "Clock",
    "Context",
    "Extension",
    "ExtensionInvalid",
    "HeldClock",
    "NotYet",
    "NotificationRequested",
    "PermanentFailure",
    "Personal",
    "Registry",
    "Schedule",
    "SystemClock",
    "Transaction",
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
    "outbox",
    "outside",
    "record",
]
