"""Connections to PostgreSQL that were closed while nobody used them."""

import psycopg
import pytest
from harness import World, execute

from usercenter.db import DatabaseUnavailable, OutcomeUnknown

OTHERS = (
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
    "where datname = current_database() and pid <> pg_backend_pid()"
)


async def test_a_connection_that_was_closed_is_noticed_before_the_statement_and_nothing_is_in_doubt(
    world: World,
) -> None:
    assert await world.count("users") == 0
    execute(world.config.database.url, OTHERS)

    with pytest.raises(DatabaseUnavailable) as refused:
        await world.database.run_alone("create table never_made ()")

    assert not isinstance(refused.value, OutcomeUnknown)
    with psycopg.connect(world.config.database.url) as other:
        assert other.execute("select to_regclass('never_made')").fetchone() == (None,)
