"""Wrong passwords of the last minutes, counted by the name that was tried and by the network that tried it."""

from alembic import op

revision = "0004"
down_revision = "0003"

GUESSES = """
-- Wrong passwords of the last quarter of an hour: names and networks as keyed hashes, so nothing personal.
create table password_guesses (
    id bigint generated always as identity primary key,
    name_hash bytea not null,
    network_hash bytea not null,
    guessed_at timestamptz not null
);
create index on password_guesses (name_hash, guessed_at);
create index on password_guesses (network_hash, guessed_at);
create index on password_guesses (guessed_at);
"""


def upgrade() -> None:
    """Create it."""
    op.execute(GUESSES)
