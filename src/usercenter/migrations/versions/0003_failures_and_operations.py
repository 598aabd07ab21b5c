"""What failures leave behind, and what operators do about it: batches in hand, stopped groups, operations, replays."""

from alembic import op

revision = "0003"
down_revision = "0002"

WORK = """
alter table tasks add column headers json not null default '{}', add column crashes integer not null default 0;

-- The batch that a group is at, of each partition: one that is met again unfinished may have killed its process.
create table batches_begun (
    group_name text not null,
    topic text not null,
    kafka_partition integer not null,
    first_offset bigint not null,
    last_offset bigint not null,
    attempts integer not null,
    begun_at timestamptz not null,
    primary key (group_name, topic, kafka_partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Groups that stopped themselves because too much failed; whoever mended the cause lets them go on.
create table group_stops (
    group_name text primary key,
    reason text not null,
    stopped_at timestamptz not null default now()
);
"""

LEVELS = """
-- What one process saw at one moment, for pages and metrics that must not ask the brokers; no body while it is taken.
create table snapshots (
    kind text not null,
    taken_at timestamptz not null,
    body json,
    primary key (kind, taken_at)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
"""

OPERATIONS = """
alter table dead_letters add column fingerprint text not null default '';
alter table dead_letters add column settled_how text check (settled_how in ('retried', 'discarded', 'repaired'));
alter table dead_letters add column operation_id uuid;
create index on dead_letters (died_at, id);

-- Who did what about which work, and what came of it: append-only but for the progress of what still runs.
create table operations (
    id uuid primary key,
    kind text not null,
    by text not null,
    reason text,
    selection json not null default '{}',
    counts json not null default '{}',
    state text not null default 'done' check (state in ('running', 'paused', 'done', 'stopped', 'failed')),
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz
);
create index on operations (started_at);

-- What was meant to be done stays as it was said; only how far it came may change.
create function operations_only_grow() returns trigger language plpgsql as $$
begin
    raise exception 'the table operations only grows: what was done stays on record';
end $$;
create trigger only_grow before delete or truncate on operations
    for each statement execute function operations_only_grow();
create trigger stay_as_said before update of id, kind, by, reason, selection, started_at on operations
    for each statement execute function operations_only_grow();

-- Handled events that are done again, and missing ones that are done at last.
create table replays (
    operation_id uuid primary key references operations,
    group_name text not null,
    handlers text[] not null,
    is_missing boolean not null,
    rate integer,
    total bigint not null,
    position bigint not null default 0,
    done bigint not null default 0,
    failed bigint not null default 0,
    skipped bigint not null default 0,
    owner uuid,
    beat_at timestamptz
);

-- What a replay is about, frozen at its beginning, in the order in which it is done; gone when it ends.
create table replay_events (
    operation_id uuid not null references replays,
    n bigint not null,
    event_id uuid not null,
    primary key (operation_id, n)
);
"""

ACCOUNTS = """
create index on login_log (logged_in_at);

-- Who asked for mails about forgotten passwords in the last hour: networks as keyed hashes, so nothing personal.
create table reset_requests (
    id bigint generated always as identity primary key,
    network_hash bytea not null,
    asked_at timestamptz not null
);
create index on reset_requests (network_hash, asked_at);
create index on reset_requests (asked_at);
"""

PERSONAL = {
    "tasks": ("headers",),
}


def upgrade() -> None:
    """Create it."""
    for statements in (WORK, LEVELS, OPERATIONS, ACCOUNTS):
        op.execute(statements)
    for table, columns in PERSONAL.items():
        for column in columns:
            op.execute(f"comment on column {table}.{column} is 'personal'")
