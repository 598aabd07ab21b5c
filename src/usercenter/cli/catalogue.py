"""Every event that this configuration knows, with where it belongs and who reacts to it. Needs no running part."""

import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from usercenter import __version__
from usercenter.cli import WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.config import Config
from usercenter.events import EVENTS, Event, type_of
from usercenter.events import asyncapi as asyncapi_document
from usercenter.events.history import OURS
from usercenter.events.page import Reaction
from usercenter.extension.loading import joined, load
from usercenter.handlers import groups
from usercenter.messaging.groups import Handler, Record


class Row(msgspec.Struct, frozen=True):
    """One line of `events list`."""

    type: str
    topic: str
    owner: str
    handlers: list[str]


class Catalogue:
    """The events of the service and of its extensions. Raises ExtensionInvalid."""

    def __init__(self, config: Config) -> None:
        extensions = load(config.extensions)
        table = joined(extensions, events=EVENTS, groups=partial(groups, config.kafka))
        self._topics: dict[str, str] = msgspec.structs.asdict(config.kafka.topics)
        self._owners: dict[type[Event], str] = dict.fromkeys(EVENTS, "usercenter")
        for module, extension in extensions.items():
            self._owners |= dict.fromkeys(extension.events, module)
        self.classes: dict[str, type[Event]] = {type_of(event_class): event_class for event_class in self._owners}
        self.reactions: dict[type[Event], list[Reaction]] = defaultdict(list)
        for group in table:
            for event_class, handlers in group.handlers.items():
                self.reactions[event_class] += [_reaction(handler) for handler in handlers]

    @property
    def by_folder(self) -> dict[Path, list[type[Event]]]:
        """The classes by the folder that holds their stored schemas."""
        found: dict[Path, list[type[Event]]] = defaultdict(list)
        for event_class, owner in self._owners.items():
            found[_schemas_of(owner)].append(event_class)
        return found

    def one(self, type: str) -> type[Event]:
        """The class of a type. Raises CommandFailed with the types that there are."""
        try:
            return self.classes[type]
        except KeyError:
            known = ", ".join(self.classes)
            raise CommandFailed(
                f"no event has the type {type!r}; there are {known}; those of an extension once `extensions` (or "
                "USERCENTER_EXTENSIONS) names its module",
                status=WRONG_USAGE,
            ) from None

    def row(self, event_class: type[Event]) -> Row:
        """The event in one line."""
        handlers = [reaction.name for reaction in self.reactions.get(event_class, ())]
        return Row(type_of(event_class), self._topics[event_class.stream], self._owners[event_class], handlers)

    def asyncapi(self) -> dict[str, Any]:
        """All topics as one AsyncAPI document."""
        return asyncapi_document.document(self.classes.values(), self._topics, version=__version__)


def _schemas_of(owner: str) -> Path:
    if owner == "usercenter":
        return OURS
    file = sys.modules[owner].__file__
    return (Path(file).parent if file else Path()) / "schemas"


def _reaction(handler: Handler) -> Reaction:
    promise = (handler.run.__doc__ or "").strip().partition("\n")[0]
    return Reaction(handler.name, "record" if isinstance(handler, Record) else "outside", promise)
