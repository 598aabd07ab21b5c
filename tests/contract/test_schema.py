"""The schema when a service starts on embedded parts: the code may be older than what it finds."""

import asyncio

import psycopg
from harness import fresh_database

from usercenter import migrations
from usercenter.cli.schema import usable
from usercenter.embedded.parts import Running


async def test_a_start_on_the_schema_of_a_later_version_uses_it_as_it_is(parts: Running) -> None:
    with fresh_database(parts) as url:
        with psycopg.connect(url) as connection:
            connection.execute("update alembic_version set version_num = '9999'")

        await asyncio.to_thread(usable, url)

        assert migrations.current(url) == "9999"
