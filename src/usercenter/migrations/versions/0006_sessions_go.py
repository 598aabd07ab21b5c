"""Sessions that are over for long are deleted: found by when they would have expired."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the index. Rows of it come in order and never change, so a login pays next to nothing for it."""
    op.execute("create index on sessions (expires_at)")
