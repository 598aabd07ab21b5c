"""From the names in the configuration to extensions that are joined to the service, or an error with the way out."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from usercenter.events import Event, UserEvent, is_type, type_of
from usercenter.events.schema import schema_of
from usercenter.extension.model import Extension
from usercenter.messaging.groups import Group, Handler, Outside, Record

_STREAM: Final = UserEvent.stream
_ENVELOPE: Final = frozenset(Event.__struct_fields__) | {"type"}


class ExtensionInvalid(Exception):
    """An extension that the configuration names cannot be used; the message says which, why, and what to do."""

    def __init__(self, module: str, problem: str) -> None:
        super().__init__(f"extension {module}: {problem}")


GroupsOf = Callable[[Sequence[type[Event]]], Sequence[Group]]
"""Makes the service's own groups, given the events that extensions add."""


def extended(
    modules: Sequence[str], *, events: Sequence[type[Event]], groups: GroupsOf
) -> tuple[tuple[type[Event], ...], tuple[Group, ...]]:
    """The service's events and groups with those of the extensions that these modules hold. Raises ExtensionInvalid."""
    extensions = load(modules)
    table = joined(extensions, events=events, groups=groups)
    return (*events, *event_classes(extensions)), table


def load(modules: Sequence[str]) -> dict[str, Extension]:
    """Import these modules and take their extensions, by module name, in this order.

    They are looked for where Python looks, and then in the current folder. Raises ExtensionInvalid. Blocks on the disk.
    """
    here = str(Path.cwd())
    if modules and here not in sys.path:
        sys.path.append(here)
    found: dict[str, Extension] = {}
    for name in modules:
        if name in found:
            raise ExtensionInvalid(name, "named twice in the configuration; name it once")
        found[name] = _extension_of(name, _import(name))
    return found


def joined(
    extensions: Mapping[str, Extension], *, events: Sequence[type[Event]], groups: GroupsOf
) -> tuple[Group, ...]:
    """The service's groups, with the extensions' handlers behind those of the first one that reads `user.events`.

    Raises ExtensionInvalid where an extension does not fit the service's own events and groups, or another extension.
    """
    _check_events(extensions, events)
    ours = groups(event_classes(extensions))
    _check_handlers(extensions, events, ours)
    first = next(group for group in ours if group.stream == _STREAM)
    table: dict[type[Event], tuple[Handler, ...]] = dict(first.handlers)
    for extension in extensions.values():
        for event_class, handlers in extension.handlers.items():
            table[event_class] = (*table.get(event_class, ()), *handlers)
    return tuple(replace(group, handlers=table) if group is first else group for group in ours)


def event_classes(extensions: Mapping[str, Extension]) -> list[type[Event]]:
    """The events that the extensions add, in their order."""
    return [event_class for extension in extensions.values() for event_class in extension.events]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ExtensionInvalid(name, f"it imports {error.name!r}, which is not installed; install it") from error
        where = "neither installed, nor on PYTHONPATH, nor in the current folder"
        raise ExtensionInvalid(
            name, f"no module of that name: {where} ({Path.cwd()}); install it, or correct `extensions`"
        ) from error
    except Exception as error:
        raise ExtensionInvalid(name, f"cannot be imported: {type(error).__name__}: {error}") from error


def _extension_of(name: str, module: ModuleType) -> Extension:
    found = getattr(module, "extension", None)
    if isinstance(found, Extension):
        return found
    seen = "has no attribute `extension`" if found is None else f"`extension` is a {type(found).__name__}"
    raise ExtensionInvalid(name, f"{seen}; write `extension = Extension(events=[…], handlers={{…}})` in it")


def _check_events(extensions: Mapping[str, Extension], ours: Iterable[type[Event]]) -> None:
    owners = {type_of(event_class): "usercenter" for event_class in ours}
    for module, extension in extensions.items():
        for event_class in extension.events:
            _check_event(module, event_class, owners)
            owners[type_of(event_class)] = module


def _check_handlers(extensions: Mapping[str, Extension], ours: Iterable[type[Event]], groups: Iterable[Group]) -> None:
    known = {*ours, *event_classes(extensions)}
    names = {handler.name: ("usercenter", handler) for group in groups for handler in group.all_handlers()}
    for module, extension in extensions.items():
        for event_class, handlers in extension.handlers.items():
            _check_reaction(module, event_class, known)
            for handler in handlers:
                _check_handler(module, handler, names)


def _check_event(module: str, event_class: type[Event], owners: Mapping[str, str]) -> None:
    if not _is_event(event_class):
        raise ExtensionInvalid(module, f"{_called(event_class)} in `events` is no subclass of UserEvent; make it one")
    type_ = type_of(event_class)
    if not is_type(type_):
        raise ExtensionInvalid(
            module,
            f"{event_class.__name__} has the event type {type_!r}; write it in the class line, small letters, digits "
            f'and _ in words joined by dots: class {event_class.__name__}(UserEvent, type="user.profile_updated")',
        )
    if type_ in owners:
        raise ExtensionInvalid(
            module, f"the event type {type_!r} of {event_class.__name__} is taken by {owners[type_]}; choose another"
        )
    _check_fields(module, event_class)


def _check_fields(module: str, event_class: type[Event]) -> None:
    taken = sorted(_ENVELOPE & _written_in(event_class))
    if taken:
        raise ExtensionInvalid(
            module, f"{event_class.__name__} declares {', '.join(taken)}, which every event has already; rename it"
        )
    try:
        msgspec.json.Decoder(event_class)
        schema_of(event_class)
    except (TypeError, NameError) as error:
        raise ExtensionInvalid(module, f"{event_class.__name__} has a field that JSON cannot carry: {error}") from error


def _written_in(event_class: type[Event]) -> set[str]:
    ours = event_class.__mro__[: event_class.__mro__.index(UserEvent)]
    return {name for each in ours for name in inspect.get_annotations(each)}


def _check_reaction(module: str, event_class: type[Event], known: set[type[Event]]) -> None:
    if not _is_event(event_class):
        raise ExtensionInvalid(module, f"{_called(event_class)} in `handlers` is no event of user.events")
    if event_class not in known:
        raise ExtensionInvalid(
            module, f"handlers for {event_class.__name__}, which nobody declares; put the class into `events`"
        )


def _check_handler(module: str, handler: Any, names: dict[str, tuple[str, Handler]]) -> None:
    if not isinstance(handler, Record | Outside):
        raise ExtensionInvalid(
            module, f"the handler {_called(handler)} is bare; write record(…) or outside(…) around it"
        )
    owner, other = names.setdefault(handler.name, (module, handler))
    if other != handler:
        raise ExtensionInvalid(
            module,
            f"the handler name {handler.name!r} is taken by {owner}; rename the function, its name is its identity",
        )


def _is_event(event_class: object) -> bool:
    return isinstance(event_class, type) and issubclass(event_class, UserEvent) and event_class is not UserEvent


def _called(thing: object) -> str:
    return str(getattr(thing, "__name__", repr(thing)))
