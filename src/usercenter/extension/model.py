"""What a company adds to the service."""

from collections.abc import Mapping, Sequence

import msgspec

from usercenter.events import Event
from usercenter.messaging.groups import Handler


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """Events and reactions of one module; the module's attribute `extension` holds it.

    Nothing is registered by making one: the service joins it when the configuration names the module.
    """

    events: Sequence[type[Event]] = ()
    """Classes that the service learns to read: subclasses of UserEvent, with a type of their own."""
    handlers: Mapping[type[Event], Sequence[Handler]] = {}
    """Who reacts to what: to the extension's own events, to those of the service, or to another extension's."""
