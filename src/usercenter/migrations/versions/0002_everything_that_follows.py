"""Everything that follows from the six events: roles, sessions that rotate, logs, erasures, statistics, webhooks."""

from alembic import op

revision = "0002"
down_revision = "0001"

USERS = """
alter table users add column role text not null default 'user' check (role in ('user', 'admin', 'auditor'));
create index users_by_creation on users (created_at, id);
create index users_by_username on users (username_key collate "C", id);
create index users_by_email on users (email_key collate "C", id);
create index users_by_first_name on users (lower(first_name) collate "C") where first_name is not null;
create index users_by_last_name on users (lower(last_name) collate "C") where last_name is not null;
create index users_by_role on users (role) where role <> 'user';
alter table sessions drop column refresh_token_hash;
alter table sessions add column generation integer not null default 0;
alter table sessions add column rotated_at timestamptz;
alter table sessions add column last_used_at timestamptz;
alter table sessions add column ended_reason text;
alter table sessions add column is_suspicious boolean not null default false;
create table one_time_tokens (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    purpose text not null check (purpose in ('password_reset', 'email_change')),
    new_email text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
create index on one_time_tokens (user_id);
create table login_failures (
    id bigint generated always as identity primary key,
    user_id uuid,
    ip_address text,
    failed_at timestamptz not null
);
create index on login_failures (user_id, failed_at);
create index on login_failures (ip_address, failed_at);
create index on login_failures (failed_at);
"""

LOGS = """
alter table login_log add column device text;
alter table login_log add column country text;
alter table login_log add column verdict text not null default 'ordinary';
alter table login_log add column score real not null default 0;
alter table login_log add column reasons json not null default '[]';
create index on login_log (ip_address, logged_in_at);
create table security_log (
    event_id uuid primary key,
    user_id uuid not null,
    happened_at timestamptz not null,
    kind text not null,
    ip_address text,
    details json not null default '{}'
);
create index on security_log (user_id, happened_at desc);
create table erasures (
    user_id uuid primary key,
    event_id uuid not null,
    deleted_by text not null,
    purged_at timestamptz not null,
    confirmed_at timestamptz
);
"""

STATISTICS = """
create table statistics (
    metric text not null,
    step text not null check (step in ('minute', 'hour', 'day')),
    bucket timestamptz not null,
    value bigint not null,
    primary key (metric, step, bucket)
);
create table active_users (
    step text not null,
    bucket timestamptz not null,
    pseudonym uuid not null,
    primary key (step, bucket, pseudonym)
);
"""

WEBHOOKS = """
create table webhooks (
    id uuid primary key,
    url text not null,
    event_types text[] not null,
    secrets bytea[] not null,
    is_enabled boolean not null default true,
    disabled_reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create table webhook_deliveries (
    id bigint generated always as identity primary key,
    webhook_id uuid not null references webhooks on delete cascade,
    event_id uuid not null,
    event_type text not null,
    user_id uuid not null,
    attempt integer not null,
    status integer,
    answer text,
    error text,
    took_ms integer not null,
    delivered_at timestamptz not null
);
create index on webhook_deliveries (webhook_id, id desc);
create index on webhook_deliveries (user_id);
create index on webhook_deliveries using brin (delivered_at);
"""

IMPORTS = """
create table imports (
    id uuid primary key,
    started_by text not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    format text not null check (format in ('csv', 'ndjson')),
    has_welcome boolean not null default false,
    digest bytea not null default '',
    lines_read bigint not null default 0,
    accepted bigint not null default 0,
    refused bigint not null default 0
);
create table import_errors (
    import_id uuid not null references imports on delete cascade,
    line bigint not null,
    field text not null,
    message text not null,
    primary key (import_id, line, field)
);
"""

PERSONAL = {
    "one_time_tokens": ("new_email",),
    "login_failures": ("ip_address",),
    "login_log": ("device", "country", "reasons"),
    "security_log": ("ip_address", "details"),
    "webhook_deliveries": ("answer", "error"),
}


def upgrade() -> None:
    """Create it."""
    for statements in (USERS, LOGS, STATISTICS, WEBHOOKS, IMPORTS):
        op.execute(statements)
    for table, columns in PERSONAL.items():
        for column in columns:
            op.execute(f"comment on column {table}.{column} is 'personal'")
