-- What examples/acme/profile.py keeps; the table is Acme's own, in usercenter's database.
create table if not exists acme_profile_changes (
    event_id uuid primary key,
    user_id uuid not null,
    changed_at timestamptz not null,
    fields text[] not null
);
create index if not exists acme_profile_changes_user on acme_profile_changes (user_id, changed_at);
