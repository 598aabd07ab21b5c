"""The statements of `usercenter.messaging`, answered from memory as PostgreSQL answers them.

`test_tables.py` asks both the same questions and compares.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from simulation.rows import Cursor, Row, Rows, Tables

__all__ = ["Connection", "Tables"]

WAITING = ("position", "shard", "stream", "key", "type", "payload", "headers")
CLAIMED = (
    *("position", "handler", "user_id", "event_id", "event_type", "key", "payload", "headers", "group_name", "topic"),
    *("kafka_partition", "kafka_offset", "shard", "attempts", "ended", "last_error", "occurred_at"),
)


def _zipped(names: str, columns: Any) -> list[Row]:
    return [dict(zip(names.split(), values, strict=True)) for values in zip(*columns, strict=True)]


async def _nothing(connection: Rows, _: Any) -> int:
    del connection
    return 0


# --- outbox -------------------------------------------------------------------------------------------------------


async def _add_events(connection: Rows, columns: Any) -> int:
    rows = _zipped("id user_id sequence type stream payload headers shard", columns)
    for row in rows:
        if row["sequence"] is not None:
            connection.put("event_log", (row["user_id"], row["sequence"]), row)
        _post(connection, {**row, "key": str(row["user_id"])})
    return len(rows)


async def _add_raw(connection: Rows, columns: Any) -> int:
    rows = _zipped("id stream key type payload headers shard", columns)
    for row in rows:
        _post(connection, row)
    return len(rows)


def _post(connection: Rows, row: Row) -> None:
    position = connection.position("outbox")
    connection.put("outbox", position, {**row, "position": position, "created_at": connection.now})


async def _waiting(connection: Rows, parameters: Any) -> Cursor:
    shards, beside, keys, limit = parameters
    rows = [
        row
        for position, row in sorted(connection.visible("outbox").items())
        if row["shard"] in shards and position not in beside and row["key"] not in keys
    ]
    found = [tuple(row[name] for name in WAITING) for row in rows[:limit]]
    return Cursor(found, len(found))


async def _remove(connection: Rows, parameters: Any) -> int:
    return len(await connection.change("outbox", parameters[0], lambda row: None))


# --- inbox, effects, dead letters ---------------------------------------------------------------------------------


async def _admit(connection: Rows, parameters: Any) -> Cursor:
    group, ids = parameters
    fresh = []
    for id_ in sorted(ids):
        if await connection.lock("inbox", (group, id_)) is None:
            connection.put("inbox", (group, id_), {"id": id_})
            fresh.append((id_,))
    if connection.tables.is_inbox_apart:
        for (id_,) in fresh:
            connection.tables.rows["inbox"][group, id_] = {"id": id_}
    return Cursor(fresh, len(fresh))


async def _effect(connection: Rows, parameters: Any) -> int:
    handler, event_id, user_id = parameters
    n = connection.position("effects")
    connection.put("effects", n, {"handler": handler, "event_id": event_id, "user_id": user_id})
    return 1


async def _keep_letter(connection: Rows, parameters: Any) -> int:
    n = connection.position("dead_letters")
    connection.put("dead_letters", n, dict(parameters))
    return 1


# --- tasks --------------------------------------------------------------------------------------------------------

TASK = (
    "handler user_id sequence event_id event_type key payload group_name topic kafka_partition kafka_offset attempts "
    "delay last_error occurred_at headers shard"
)


async def _add_tasks(connection: Rows, columns: Any) -> int:
    for row in _zipped(TASK, columns):
        position, due = connection.position("tasks"), connection.now + timedelta(seconds=row["delay"])
        connection.put(
            "tasks",
            position,
            {**row, "position": position, "ended": row["attempts"], "crashes": 0, "next_attempt_at": due},
        )
    return len(columns[0])


async def _busy_lanes(connection: Rows, parameters: Any) -> Cursor:
    users, handlers = parameters
    lanes = {(row["handler"], row["user_id"]) for row in connection.visible("tasks").values()}
    found = [lane for lane in lanes if lane[1] in users and lane[0] in handlers]
    return Cursor(found, len(found))


def _before(rows: dict[Any, Row], row: Row) -> list[Row]:
    lane = row["handler"], row["user_id"]
    return [
        other
        for position, other in sorted(rows.items())
        if position < row["position"] and (other["handler"], other["user_id"]) == lane
    ]


async def _due(connection: Rows, parameters: Any) -> Cursor:
    handlers, broken, shards, names, users, limit = parameters
    beside, rows = set(zip(names, users, strict=True)), connection.visible("tasks")
    due = [
        row
        for row in rows.values()
        if row["next_attempt_at"] <= connection.now
        and row["handler"].split("/")[0] in handlers
        and row["handler"] not in broken
        and row["shard"] in shards
        and (row["handler"], row["user_id"]) not in beside
    ]
    due.sort(key=lambda row: (row["next_attempt_at"], row["position"]))
    found = []
    for row in due[:limit]:
        earlier = [] if connection.tables.is_lane_ignored else _before(rows, row)
        due_with = max([row["next_attempt_at"], *(each["next_attempt_at"] for each in earlier[-1:])])
        later = due_with if due_with > row["next_attempt_at"] else None
        found.append((row["position"], row["handler"], row["user_id"], later, row["crashes"]))
    return Cursor(found, len(found))


async def _due_of(connection: Rows, parameters: Any) -> Cursor:
    handler, shards = parameters
    rows = connection.visible("tasks")
    due = [
        row
        for row in rows.values()
        if row["next_attempt_at"] <= connection.now
        and (row["handler"] == handler and row["shard"] in shards)
        and not _before(rows, row)
    ]
    due.sort(key=lambda row: (row["next_attempt_at"], row["position"]))
    return Cursor([(row["position"], row["handler"], row["user_id"], None, row["crashes"]) for row in due[:1]], 1)


async def _most_parked(connection: Rows, parameters: Any) -> Cursor:
    rows = connection.visible("tasks").values()
    parked = {(row["handler"], row["user_id"]) for row in rows if row["last_error"] is not None}
    numbers = Counter(handler for handler, _ in parked if handler in parameters[0])
    return Cursor([(number,) for _, number in numbers.most_common(1)], 1)


async def _postpone(connection: Rows, parameters: Any) -> int:
    until = dict(zip(*parameters, strict=True))
    changed = await connection.change(
        "tasks",
        until,
        lambda row: {**row, "next_attempt_at": max(row["next_attempt_at"], until[row["position"]])},
    )
    return len(changed)


async def _put_off(connection: Rows, parameters: Any) -> int:
    seconds = dict(zip(*parameters, strict=True))
    changed = await connection.change(
        "tasks",
        seconds,
        lambda row: {**row, "next_attempt_at": connection.now + timedelta(seconds=seconds[row["position"]])},
    )
    return len(changed)


async def _claim(connection: Rows, parameters: Any) -> Cursor:
    positions, owner = parameters
    claimed = []
    for position in positions:
        row = await connection.lock("tasks", position)
        if row is None or not _is_owner(connection, row["shard"], owner):
            continue
        if not connection.tables.is_lane_ignored and _before(connection.visible("tasks"), row):
            continue
        row = {**row, "attempts": row["attempts"] + 1}
        connection.put("tasks", position, row)
        claimed.append(row)
    return Cursor([tuple(row[name] for name in CLAIMED) for row in claimed], len(claimed))


async def _claim_set(connection: Rows, parameters: Any) -> Cursor:
    rows = connection.visible("tasks")
    due = [
        row
        for row in rows.values()
        if row["next_attempt_at"] <= connection.now
        and row["handler"] in parameters["handlers"]
        and row["shard"] in parameters["shards"]
    ]
    due = sorted(due, key=lambda row: (row["next_attempt_at"], row["position"]))[: parameters["limit"]]
    free = await _without_those_behind(connection, rows, due)
    suspects = sorted(row["position"] for row in free if row["crashes"] >= parameters["suspected"])
    taken = suspects[:1] or sorted(row["position"] for row in free)
    claimed = []
    for position in taken:
        row = await connection.lock("tasks", position)
        if row is not None and _is_owner(connection, row["shard"], parameters["owner"]):
            claimed.append({**row, "attempts": row["attempts"] + 1})
            connection.put("tasks", position, claimed[-1])
    return Cursor([tuple(row[name] for name in CLAIMED) for row in claimed], len(claimed))


async def _without_those_behind(connection: Rows, rows: dict[Any, Row], due: list[Row]) -> list[Row]:
    """Those of the due ones that have nothing before them in their lane but due ones; the others wait with it."""
    positions, until = {row["position"] for row in due}, {}
    for row in [] if connection.tables.is_set_gapped else due:
        before = [each["next_attempt_at"] for each in _before(rows, row) if each["position"] not in positions]
        if before:
            until[row["position"]] = max(before)
    late = [position for position, moment in until.items() if moment > connection.now]
    await connection.change("tasks", late, lambda row: {**row, "next_attempt_at": until[row["position"]]})
    return [row for row in due if row["position"] not in until]


def _is_owner(connection: Rows, shard: int, owner: Any) -> bool:
    return bool(connection.visible("leases").get(("tasks", shard), {}).get("owner") == owner)


async def _unclaim(connection: Rows, parameters: Any) -> int:
    positions, owner = parameters
    changed = await connection.change(
        "tasks",
        positions,
        lambda row: (
            {**row, "attempts": row["attempts"] - 1}
            if row["attempts"] > row["ended"] and _is_owner(connection, row["shard"], owner)
            else ...
        ),
    )
    return len(changed)


async def _finish(connection: Rows, parameters: Any) -> int:
    return len(await connection.change("tasks", parameters[0], lambda row: None))


async def _bury(connection: Rows, parameters: Any) -> int:
    position, attempts = parameters
    return len(await connection.change("tasks", [position], lambda row: None if row["attempts"] == attempts else ...))


async def _park(connection: Rows, parameters: Any) -> Cursor:
    parked = []
    for each in zip(*parameters, strict=True):
        parked += await _park_one(connection, each)
    return Cursor(parked, len(parked))


async def _park_one(connection: Rows, failure: tuple[Any, ...]) -> list[tuple[int]]:
    position, before, attempts, error, wait, crashes = failure
    due = connection.now + timedelta(seconds=wait)
    facts = {"last_error": error, "attempts": attempts, "ended": attempts, "next_attempt_at": due}
    head = await connection.change(
        "tasks",
        [position],
        lambda row: {**row, **facts, "crashes": row["crashes"] + crashes} if row["attempts"] == before else ...,
    )
    for row in [] if connection.tables.is_lane_ignored else head:
        behind = [
            each["position"]
            for each in connection.visible("tasks").values()
            if (each["handler"], each["user_id"]) == (row["handler"], row["user_id"]) and each["position"] > position
        ]
        await connection.change("tasks", behind, lambda each: {**each, "next_attempt_at": due})
    return [(row["position"],) for row in head]


async def _give_back(connection: Rows, parameters: Any) -> int:
    attempts = dict(zip(*parameters, strict=True))
    changed = await connection.change(
        "tasks",
        attempts,
        lambda row: {**row, "attempts": row["attempts"] - 1} if row["attempts"] == attempts[row["position"]] else ...,
    )
    return len(changed)


# --- marks and stops ----------------------------------------------------------------------------------------------


def _marks(parameters: Any) -> list[tuple[tuple[str, str, int], Row]]:
    """The marks of a statement, by group and place."""
    names = ("topic", "partition", "first", "last", "attempts")
    marks = [
        dict(zip(names, values, strict=True)) for values in zip(*(parameters[name] for name in names), strict=True)
    ]
    return [((parameters["group"], mark["topic"], mark["partition"]), mark) for mark in marks]


async def _begin(connection: Rows, parameters: Any) -> Cursor:
    if parameters["group"] in connection.visible("group_stops"):
        return Cursor([], 0)
    begun = []
    for key, mark in _marks(parameters):
        before = await connection.lock("batches_begun", key)
        if before is None or before["attempts"] == 0 or before["last"] < mark["first"]:
            connection.put("batches_begun", key, mark)
            begun.append((mark["topic"], mark["partition"]))
    return Cursor(begun, len(begun))


async def _begin_alone(connection: Rows, parameters: Any) -> Cursor:
    for key, mark in _marks(parameters):
        await connection.lock("batches_begun", key)
        connection.put("batches_begun", key, mark)
    return Cursor([], 1)


async def _look(connection: Rows, parameters: Any) -> Cursor:
    rows, found = connection.visible("batches_begun"), []
    for key, wanted in _marks({**parameters, "attempts": [0] * len(parameters["topic"])}):
        row = rows.get(key)
        if row and row["attempts"] > 0 and row["first"] <= wanted["last"] and row["last"] >= wanted["first"]:
            found.append(tuple(row.values()))
    return Cursor(found, len(found))


async def _close(connection: Rows, parameters: Any) -> int:
    return await _lower(connection, parameters, lambda row: {**row, "attempts": 0})


async def _give_mark_back(connection: Rows, parameters: Any) -> int:
    return await _lower(connection, parameters, lambda row: {**row, "attempts": row["attempts"] - 1})


async def _lower(connection: Rows, parameters: Any, change: Callable[[Row], Row]) -> int:
    for key, mark in _marks(parameters):
        await connection.change("batches_begun", [key], lambda row, mark=mark: change(row) if row == mark else ...)
    return 0


async def _stop(connection: Rows, parameters: Any) -> int:
    name, reason = parameters
    if await connection.lock("group_stops", name) is None:
        connection.put("group_stops", name, {"reason": reason, "stopped_at": connection.now})
    return 1


async def _stopped(connection: Rows, parameters: Any) -> Cursor:
    rows = connection.visible("group_stops")
    found = [(name, row["reason"], row["stopped_at"]) for name, row in rows.items() if name in parameters[0]]
    return Cursor(found, len(found))


# --- leases -------------------------------------------------------------------------------------------------------


async def _renew(connection: Rows, parameters: Any) -> int:
    kind, owner, seconds = parameters
    await connection.lock("lease_owners", (kind, owner))
    connection.put("lease_owners", (kind, owner), {"expires_at": connection.now + timedelta(seconds=seconds)})
    return 1


async def _ensure(connection: Rows, parameters: Any) -> int:
    kind, last, _ = parameters
    if any(key[0] == kind for key in connection.visible("leases")):
        return 0
    for shard in range(last + 1):
        if await connection.lock("leases", (kind, shard)) is None:
            connection.put("leases", (kind, shard), {"owner": None})
    return last + 1


async def _mine(connection: Rows, parameters: Any) -> Cursor:
    kind, owner = parameters
    found = [(key[1],) for key, row in connection.visible("leases").items() if key[0] == kind and row["owner"] == owner]
    return Cursor(found, len(found))


def _is_alive(connection: Rows, kind: str, owner: Any) -> bool:
    row = connection.visible("lease_owners").get((kind, owner))
    return row is not None and row["expires_at"] > connection.now


async def _count_owners(connection: Rows, parameters: Any) -> Cursor:
    kind = parameters[0]
    owners = [key for key in connection.visible("lease_owners") if key[0] == kind and _is_alive(connection, *key)]
    return Cursor([(len(owners),)], 1)


async def _let_go(connection: Rows, parameters: Any) -> int:
    kind, owner, *shards = parameters
    keys = [
        key
        for key, row in connection.visible("leases").items()
        if key[0] == kind and row["owner"] == owner and (not shards or key[1] in shards[0])
    ]
    changed = await connection.change(
        "leases", keys, lambda row: {**row, "owner": None} if row["owner"] == owner else ...
    )
    return len(changed)


async def _forget_owner(connection: Rows, parameters: Any) -> int:
    return len(await connection.change("lease_owners", [tuple(parameters)], lambda row: None))


async def _take(connection: Rows, parameters: Any) -> Cursor:
    owner, kind, _, limit = parameters
    free = [
        key
        for key, row in sorted(connection.visible("leases").items())
        if key[0] == kind
        and not _is_alive(connection, kind, row["owner"])
        and not connection.is_held_by_another("leases", key)
    ]
    taken = free[:limit]
    await connection.change("leases", taken, lambda row: {**row, "owner": owner})
    return Cursor([(key[1],) for key in taken], len(taken))


async def _erased(connection: Rows, parameters: Any) -> Cursor:
    del connection, parameters
    return Cursor([], 0)


STATEMENTS: dict[str, Callable[[Rows, Any], Any]] = {
    "with e as materialized ( select * from unnest( %b::uuid[], %b::uuid[]": _add_events,
    "insert into outbox": _add_raw,
    "select position, shard, aggregatetype": _waiting,
    "delete from outbox where position = any": _remove,
    "insert into inbox": _admit,
    "insert into effects": _effect,
    "insert into dead_letters": _keep_letter,
    "insert into tasks": _add_tasks,
    "select distinct handler, user_id from tasks": _busy_lanes,
    "select position, handler, user_id, nullif": _due,
    "select position, handler, user_id, null, crashes from": _due_of,
    "select count(distinct user_id)": _most_parked,
    "with quick … group_stops": _begin,
    "with quick": _begin_alone,
    "select b.topic": _look,
    "update batches_begun b set attempts = 0": _close,
    "update batches_begun b set attempts = b.attempts - 1": _give_mark_back,
    "insert into group_stops": _stop,
    "select group_name, reason": _stopped,
    "update tasks t set next_attempt_at = p.until": _postpone,
    "update tasks t set next_attempt_at = now()": _put_off,
    "update tasks t set attempts = attempts + 1": _claim,
    "with due as materialized": _claim_set,
    "update tasks set attempts = attempts - 1": _unclaim,
    "delete from tasks where position = any": _finish,
    "delete from tasks where position = %s and attempts": _bury,
    "with failed as materialized": _park,
    "update tasks t set attempts = t.attempts - 1": _give_back,
    "insert into lease_owners": _renew,
    "insert into leases": _ensure,
    "select shard from leases where kind": _mine,
    "select count(*) from lease_owners": _count_owners,
    "update leases set owner = null": _let_go,
    "delete from lease_owners where ctid": _nothing,
    "delete from lease_owners where kind": _forget_owner,
    "update leases set owner = %s, epoch": _take,
    "select user_id from erasures": _erased,
    "set ": _nothing,
}
"""By how a statement begins (and what comes later in it): who answers it."""


class Connection(Rows):
    """One transaction on the tables; what a `Transaction` of the service works on."""

    async def execute(self, query: str, parameters: Any = None) -> Cursor:
        """Answer one statement. Raises AssertionError for one that the simulation does not know."""
        text = " ".join(str(query).split())
        for known, answer in STATEMENTS.items():
            begins, _, has = known.partition(" … ")
            if text.startswith(begins) and has in text:
                found = await answer(self, parameters)
                return found if isinstance(found, Cursor) else Cursor([], found or 0)
        raise AssertionError(f"the simulation does not know this statement; teach it in tables.py: {text}")
