"""What a replay would do, said before it does anything, and then frozen: which events, in which order, for whom."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from usercenter.db import Transaction
from usercenter.events import Registry, type_of
from usercenter.messaging.groups import Group, Handler
from usercenter.messaging.operations import audit
from usercenter.messaging.operations import replay_queries as queries
from usercenter.messaging.operations.books import LOGGED_STREAM


class ReplayRefused(Exception):
    """This replay is not begun; the message says why and what to do instead."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to have done again."""

    handlers: list[str]
    once_too: list[str] = []
    """Those of the handlers that are `once` and shall be repeated all the same."""
    since: datetime | None = None
    until: datetime | None = None
    user_id: UUID | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to the events of one type."""

    type: str
    events: int
    erased: int
    """Of users whose data is gone: they have no effect any more."""
    handlers: list[str]


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do."""

    group: str
    lines: list[Line]
    unknown: int
    """Events in this time whose type no class of this configuration has; left out."""

    @property
    def total(self) -> int:
        """How many events it would go through."""
        return sum(line.events for line in self.lines)


def group_of(wish: Wish, groups: Sequence[Group]) -> Group:
    """The group whose handlers these are. Raises ReplayRefused."""
    for group in groups:
        own = {handler.name: handler for handler in group.all_handlers()}
        if group.stream == LOGGED_STREAM and own.keys() >= set(wish.handlers) and wish.handlers:
            _check_once([own[name] for name in wish.handlers], wish.once_too)
            return group
    known = sorted({each.name for group in groups if group.stream == LOGGED_STREAM for each in group.all_handlers()})
    raise ReplayRefused(
        f"no group of user.events has all these handlers: {', '.join(wish.handlers) or 'none was named'}. "
        f"There are: {', '.join(known)}; replay handlers of different groups one after the other"
    )


def named_group(name: str, groups: Sequence[Group]) -> Group:
    """The group of that name, of user.events: nobody keeps a copy of other topics. Raises ReplayRefused."""
    logged = {group.name: group for group in groups if group.stream == LOGGED_STREAM}
    if name not in logged:
        raise ReplayRefused(f"{name!r} is no group of user.events; those can be repaired: {', '.join(sorted(logged))}")
    return logged[name]


def handlers_by_type(group: Group, names: Sequence[str]) -> dict[str, list[str]]:
    """By event type: which of these handlers it has, in the order of the table."""
    found = {
        type_of(event_class): [handler.name for handler in handlers if handler.name in names]
        for event_class, handlers in group.handlers.items()
    }
    return {type_: own for type_, own in found.items() if own}


async def forecast(tx: Transaction, wish: Wish, group: Group, registry: Registry) -> Forecast:
    """Count what the wish is about. Changes nothing."""
    by_type = handlers_by_type(group, wish.handlers)
    rows = await tx.fetch_all(queries.COUNT, _period(wish) | {"types": list(by_type)})
    known = sorted(registry.classes())
    unknown = await tx.fetch_one(queries.UNKNOWN, _period(wish) | {"types": known})
    return Forecast(group=group.name, lines=_lines(rows, by_type), unknown=unknown[0] if unknown else 0)


async def forecast_missing(tx: Transaction, group: Group) -> Forecast:
    """As `forecast`, of the events that the books of this transaction have found missing."""
    by_type = handlers_by_type(group, [handler.name for handler in group.all_handlers()])
    rows = await tx.fetch_all(queries.COUNT_MISSING, {"group": group.name})
    return Forecast(group=group.name, lines=_lines(rows, by_type), unknown=0)


async def begin(tx: Transaction, wish: Wish, group: Group, *, by: str, reason: str | None, rate: int | None) -> UUID:
    """Freeze the selection and write the replay down; returns its id. Does not commit."""
    selection = msgspec.to_builtins(wish) | {"group": group.name}
    id_ = await audit.begin(tx, kind="replay", by=by, reason=reason, selection=selection)
    await tx.execute(
        queries.BEGIN, {"id": id_, "group": group.name, "handlers": wish.handlers, "missing": False, "rate": rate}
    )
    types = list(handlers_by_type(group, wish.handlers))
    await tx.execute(queries.FREEZE, _period(wish) | {"id": id_, "types": types})
    await tx.execute(queries.TOTAL, {"id": id_})
    return id_


async def begin_missing(tx: Transaction, group: Group, *, by: str, reason: str | None, rate: int | None) -> UUID:
    """As `begin`, of the events that the books of this transaction have found missing, for all handlers."""
    handlers = list(dict.fromkeys(handler.name for handler in group.all_handlers()))
    id_ = await audit.begin(tx, kind="replay", by=by, reason=reason, selection={"missing": True, "group": group.name})
    await tx.execute(
        queries.BEGIN, {"id": id_, "group": group.name, "handlers": handlers, "missing": True, "rate": rate}
    )
    await tx.execute(queries.FREEZE_MISSING, {"id": id_, "group": group.name})
    await tx.execute(queries.TOTAL, {"id": id_})
    return id_


def _check_once(handlers: Sequence[Handler], once_too: Sequence[str]) -> None:
    unnamed = [each.name for each in handlers if each.replay == "once" and each.name not in once_too]
    if unnamed:
        again = " ".join(f"--once-too {name}" for name in unnamed)
        raise ReplayRefused(
            f"{', '.join(unnamed)}: a second run is not harmless (a mail, a call or a sum twice). "
            f"If that is what you want, name it again: {again}"
        )


def _lines(rows: Sequence[tuple[str, int, int]], by_type: Mapping[str, list[str]]) -> list[Line]:
    return [Line(type=type_, events=events, erased=erased, handlers=by_type[type_]) for type_, events, erased in rows]


def _period(wish: Wish) -> dict[str, object]:
    return {"since": wish.since, "until": wish.until, "user_id": wish.user_id}
