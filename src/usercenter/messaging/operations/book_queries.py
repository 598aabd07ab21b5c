"""The statements of the books: PostgreSQL counts, and keeps what it does not find."""

from typing import Final

STARTS: Final = """
select group_name, topic, pinned_at, now() - make_interval(days => %s) from group_starts
"""

TABLES: Final = """
create temp table verify_candidates (group_name text, event_id uuid, committed_at timestamptz) on commit drop;
create temp table verify_records (
    kafka_partition int, kafka_offset bigint, event_id uuid, user_id uuid, sequence bigint, is_ours boolean,
    is_passed boolean, is_old boolean, written_at timestamptz
) on commit drop
"""

_WORK: Final = """
open_tasks as materialized (
    select event_id, bool_or(is_behind) as is_parked from (
        select event_id, group_name,
            bool_or(last_error is not null) over (partition by handler, user_id order by position) as is_behind
        from tasks
    ) t where group_name = %(group)s group by event_id
), letters as materialized (
    select distinct event_id from dead_letters
    where group_name = %(group)s and settled_at is null and event_id is not null
), unsendable as materialized (
    select event_id, bool_or(settled_at is null) as is_open from dead_letters
    where handler = 'relay' and event_id is not null and (settled_at is null or settled_how = 'discarded')
    group by event_id
), outgoing as materialized (
    select id, min(created_at) as created_at from outbox
    where aggregatetype = %(stream)s and type = any(%(types)s) group by id
)
"""
"""Unfinished work of a group. A task is parked if it has failed, or is behind one of its lane that has."""

_PLACE: Final = """
case
    when i.event_id is not null then case
        when d.event_id is not null then 'dead' when t.is_parked then 'parked'
        when t.event_id is not null then 'waiting' else 'handled' end
    when o.id is not null then 'waiting'
    when u.is_open then 'dead'
    when not u.is_open then 'handled'
end
"""

_BESIDE: Final = """
left join inbox i on i.group_name = %(group)s and i.event_id = e.id
left join open_tasks t on t.event_id = e.id
left join letters d on d.event_id = e.id
left join unsendable u on u.event_id = e.id
left join outgoing o on o.id = e.id
"""

_COUNT: Final = """
, kept as (
    insert into verify_candidates (group_name, event_id, committed_at)
    select %(group)s, id, created_at from placed where place is null
)
select place, count(*) from placed group by place
"""

LOGGED: Final = f"""
with {_WORK}, placed as materialized (
    select e.id, e.created_at, {_PLACE} as place from event_log e {_BESIDE}
    where e.type = any(%(types)s) and e.created_at >= %(remembered_since)s
    and (e.created_at >= %(pinned_at)s or i.event_id is not null or o.id is not null)
    and (%(user_id)s::uuid is null or e.user_id = %(user_id)s)
) {_COUNT}
"""
"""For a group of user.events: every event that it had to handle, and the place of each."""

READ: Final = f"""
with {_WORK}, sightings as (
    select event_id as id, bool_or(is_passed) as is_passed, bool_and(is_old) as is_old, min(written_at) as created_at
    from verify_records group by event_id
), e as (
    select coalesce(s.id, o.id) as id, coalesce(s.created_at, o.created_at) as created_at,
        coalesce(s.is_passed, false) as is_passed, coalesce(s.is_old, false) as is_old
    from sightings s full join outgoing o on o.id = s.id
), placed as materialized (
    select e.id, e.created_at, coalesce({_PLACE}, case when not e.is_passed then 'waiting' end) as place
    from e {_BESIDE}
    where i.event_id is not null or not e.is_old
) {_COUNT}
"""
"""For a group of another topic: the same of what was read from the topic, and of what is still in the outbox."""

STRIKE: Final = """
delete from verify_candidates c using (select distinct event_id from verify_records) r
where c.group_name = %(group)s and c.event_id = r.event_id
"""

EXAMPLES: Final = """
select event_id from verify_candidates where group_name = %(group)s order by committed_at, event_id limit %(limit)s
"""
