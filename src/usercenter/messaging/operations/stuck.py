"""Nothing stuck: work that is due and that nobody does, and why."""

from collections.abc import Collection, Mapping
from typing import Any, Final, LiteralString, NamedTuple

from usercenter.db import Transaction
from usercenter.messaging.groups import Handler, Outside
from usercenter.messaging.operations.report import EXAMPLES, Finding


class _Check(NamedTuple):
    what: str
    query: LiteralString
    """Gives the whole count and one id, for each of the first few."""
    next_step: str


async def stuck(
    tx: Transaction, *, handlers: Mapping[str, Handler], lease_seconds: float, after_seconds: float
) -> list[Finding]:
    """What should have moved within `after_seconds`. A shard counts as abandoned after three leases."""
    parameters: dict[str, Any] = {
        "after": after_seconds,
        "handlers": sorted(handlers),
        "running": after_seconds + _longest_run(handlers.values()),
        "abandoned": 3 * lease_seconds,
        "limit": EXAMPLES,
    }
    found = []
    for check in _CHECKS:
        rows = await tx.fetch_all(check.query, parameters)
        if rows:
            what = check.what.format(seconds=f"{after_seconds:g}")
            examples = [str(row[1]) for row in rows]
            found.append(
                Finding(
                    invariant="nothing stuck",
                    what=what,
                    count=rows[0][0],
                    examples=examples,
                    next_step=check.next_step,
                )
            )
    return found


def _longest_run(handlers: Collection[Handler]) -> float:
    return max((each.timeout_seconds for each in handlers if isinstance(each, Outside)), default=0.0)


_RUNS: Final = "see that `usercenter run --roles worker` runs and that its /ready is fine"

_CHECKS: Final = (
    _Check(
        "messages that have waited in the outbox for more than {seconds} s",
        "select count(*) over (), id from outbox where created_at < now() - make_interval(secs => %(after)s) "
        "order by position limit %(limit)s",
        "see that a process with the role relay runs, and that /health says that Kafka is reachable",
    ),
    _Check(
        "tasks that have been due for more than {seconds} s, first of their lane, and that nobody tries",
        "select count(*) over (), event_id from tasks t "
        "where next_attempt_at < now() - make_interval(secs => %(after)s) and attempts <= ended "
        "and split_part(handler, '/', 1) = any(%(handlers)s) and not exists (select 1 from tasks e "
        "where e.user_id = t.user_id and e.handler = t.handler and e.position < t.position) "
        "order by position limit %(limit)s",
        _RUNS,
    ),
    _Check(
        "attempts at tasks that began and have not ended",
        "select count(*) over (), event_id from tasks "
        "where attempts > ended and next_attempt_at < now() - make_interval(secs => %(running)s) "
        "order by position limit %(limit)s",
        _RUNS,
    ),
    _Check(
        "tasks of handlers that this configuration does not know",
        "select count(*) over (), event_id from tasks where split_part(handler, '/', 1) <> all(%(handlers)s) "
        "order by position limit %(limit)s",
        "a handler was renamed or an extension taken out: bring it back, or discard its tasks",
    ),
    _Check(
        "shards of the relay without a living owner, whose messages wait",
        "select count(*) over (), shard from outbox o "
        "where created_at < now() - make_interval(secs => %(abandoned)s) and not exists (select 1 from leases l "
        "join lease_owners w on w.kind = l.kind and w.owner = l.owner and w.expires_at > clock_timestamp() "
        "where l.kind = 'relay' and l.shard = o.shard) group by shard order by shard limit %(limit)s",
        "start a process with the role relay",
    ),
    _Check(
        "shards of the tasks without a living owner, whose tasks are due",
        "select count(*) over (), shard from tasks t "
        "where next_attempt_at < now() - make_interval(secs => %(abandoned)s) and not exists (select 1 from leases l "
        "join lease_owners w on w.kind = l.kind and w.owner = l.owner and w.expires_at > clock_timestamp() "
        "where l.kind = 'tasks' and l.shard = t.shard) group by shard order by shard limit %(limit)s",
        "start a process with the role worker",
    ),
    _Check(
        "groups that stopped because too much failed",
        "select count(*) over (), group_name || ': ' || reason from group_stops order by group_name limit %(limit)s",
        "mend the cause, then `usercenter groups resume NAME`",
    ),
)
