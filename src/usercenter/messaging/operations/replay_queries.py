"""The statements that count and freeze what a replay is about."""

from typing import Final

_WHICH: Final = """
(%(since)s::timestamptz is null or e.created_at >= %(since)s)
and (%(until)s::timestamptz is null or e.created_at < %(until)s)
and (%(user_id)s::uuid is null or e.user_id = %(user_id)s)
"""

COUNT: Final = (
    "select e.type, count(*), count(x.user_id) from event_log e left join erasures x on x.user_id = e.user_id "
    "where e.type = any(%(types)s) and " + _WHICH + "group by e.type order by e.type"
)

UNKNOWN: Final = "select count(*) from event_log e where e.type <> all(%(types)s) and " + _WHICH

COUNT_MISSING: Final = """
select e.type, count(*), count(x.user_id) from verify_candidates c join event_log e on e.id = c.event_id
left join erasures x on x.user_id = e.user_id where c.group_name = %(group)s group by e.type order by e.type
"""

BEGIN: Final = """
insert into replays (operation_id, group_name, handlers, is_missing, rate, total)
values (%(id)s, %(group)s, %(handlers)s, %(missing)s, %(rate)s, 0)
"""

TOTAL: Final = """
update replays set total = (select count(*) from replay_events where operation_id = %(id)s) where operation_id = %(id)s
"""

_ORDERED: Final = """
insert into replay_events (operation_id, n, event_id)
select %(id)s, row_number() over (order by at, user_id, sequence), id from (
    select e.id, e.user_id, e.sequence, max(e.created_at) over (partition by e.user_id order by e.sequence) as at
    from event_log e
"""
"""In the order of the commits, as far as the clock tells it; each user's by sequence, whatever the clock did."""

FREEZE: Final = _ORDERED + "where e.type = any(%(types)s) and " + _WHICH + ") o"

FREEZE_MISSING: Final = _ORDERED + "join verify_candidates c on c.event_id = e.id where c.group_name = %(group)s) o"
