"""What a login is compared with lies at one place of an index, however many logins of others came between."""

from alembic import op

revision = "0005"
down_revision = "0004"

LOGINS = """
update login_log set ip_address = left(ip_address, 64) where length(ip_address) > 64;
create index login_log_history on login_log (user_id, logged_in_at desc) include (ip_address, device, verdict);
drop index login_log_user_id_logged_in_at_idx;

-- Nothing asks for the logins of an address, and each login paid for the answer.
drop index login_log_ip_address_logged_in_at_idx;

-- An index answers alone for pages of the table that a vacuum has seen. PostgreSQL's default has it come when a fifth
-- of the table is new; here a fiftieth.
alter table login_log set (autovacuum_vacuum_insert_scale_factor = 0.02);

-- A row that finds room on its own page touches no index: for pages from now on, and for all after a `vacuum full`.
alter table last_logins set (fillfactor = 80);
"""


def upgrade() -> None:
    """Make the index anew. Logins are logged when it is done; nobody who logs in waits for that."""
    op.execute(LOGINS)
