"""Order per user, and nothing invented: event_log against itself and the users, the topic against event_log."""

from typing import Any, Final, LiteralString

from usercenter.db import Transaction
from usercenter.messaging.operations.books import Ledger
from usercenter.messaging.operations.report import EXAMPLES, Finding, Invariant


async def gaps(tx: Transaction, parameters: dict[str, Any]) -> list[Finding]:
    """Users whose events are not numbered 1 to n, or end at another number than the user's own."""
    return [
        *await _users(
            tx,
            _GAPS,
            parameters,
            what="users whose sequences in event_log are not 1 to n",
            next_step="compare event_log with a backup: `usercenter user show ID` names the user's version",
        ),
        *await _users(
            tx,
            _HEADS,
            parameters,
            what="users whose version is not that of their last event, or of whom only the one or the other exists",
            next_step="somebody wrote users or event_log by hand; every change must go through usercenter",
        ),
    ]


async def on_topic(tx: Transaction, topic: str) -> list[Finding]:
    """What the records of the whole topic, which were read into `verify_records`, say against event_log."""
    invented = await _found(
        tx,
        _FORGED,
        {},
        invariant="nothing invented",
        what=f"messages on {topic} in our name that event_log does not have",
        next_step="find out who else may write to the topic; the broker's ACLs should allow only usercenter",
    )
    disordered = await _found(
        tx,
        _DISORDERED,
        {},
        invariant="order per user",
        what=f"events that came to {topic} after a later one of their user",
        next_step="a defect of the relay, or a second writer: please report it with these ids",
    )
    return [*invented, *disordered]


async def unexplained(tx: Transaction, ledger: Ledger, *, is_whole: bool) -> list[Finding]:
    """What the group has in its inbox and neither event_log nor `verify_records` knows.

    `is_whole`: whether the topic still has its first records, so that every inbox row must have one.
    """
    return await _found(
        tx,
        _UNEXPLAINED,
        {"group": ledger.group, "is_whole": is_whole},
        invariant="nothing invented",
        what=f"events in the inbox of {ledger.group} that neither event_log nor {ledger.topic} has",
        next_step="somebody wrote to the inbox by hand, or the topic was made anew",
    )


async def _users(
    tx: Transaction, query: LiteralString, parameters: dict[str, Any], *, what: str, next_step: str
) -> list[Finding]:
    return await _found(tx, query, parameters, invariant="order per user", what=what, next_step=next_step)


async def _found(
    tx: Transaction,
    query: LiteralString,
    parameters: dict[str, Any],
    *,
    invariant: Invariant,
    what: str,
    next_step: str,
) -> list[Finding]:
    rows = await tx.fetch_all(query, parameters | {"limit": EXAMPLES})
    if not rows:
        return []
    ids = [str(row[1]) for row in rows]
    return [Finding(invariant=invariant, what=what, count=rows[0][0], examples=ids, next_step=next_step)]


_GAPS: Final = """
select count(*) over (), user_id from event_log where %(user_id)s::uuid is null or user_id = %(user_id)s
group by user_id having min(sequence) <> 1 or max(sequence) <> count(*) order by user_id limit %(limit)s
"""

_HEADS: Final = """
select count(*) over (), coalesce(u.id, l.user_id)
from (
    select user_id, max(sequence) as last from event_log
    where %(user_id)s::uuid is null or user_id = %(user_id)s group by user_id
) l full join (select id, sequence from users where %(user_id)s::uuid is null or id = %(user_id)s) u on u.id = l.user_id
where u.id is null or l.user_id is null or u.sequence <> l.last order by 2 limit %(limit)s
"""

_FORGED: Final = """
select count(*) over (), event_id from verify_records r
where is_ours and is_passed and not exists (select 1 from event_log e where e.id = r.event_id)
group by event_id order by event_id limit %(limit)s
"""
"""`is_passed` says here that the record lay on the topic before the tables were looked at."""

_UNEXPLAINED: Final = """
select count(*) over (), event_id from inbox i
where group_name = %(group)s
and not exists (select 1 from event_log e where e.id = i.event_id)
and not exists (select 1 from verify_records r where r.event_id = i.event_id)
and (%(is_whole)s or handled_at > (select min(written_at) from verify_records) + interval '1 hour')
order by handled_at limit %(limit)s
"""

_DISORDERED: Final = """
select count(*) over (), event_id from (
    select event_id, sequence, first_at, max(sequence) over (
        partition by kafka_partition, user_id order by first_at rows between unbounded preceding and 1 preceding
    ) as before
    from (
        select kafka_partition, user_id, event_id, sequence, min(kafka_offset) as first_at from verify_records
        where is_ours and sequence is not null group by 1, 2, 3, 4
    ) firsts
) o where before > sequence order by first_at limit %(limit)s
"""
