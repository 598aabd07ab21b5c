"""The schema when a service starts on embedded parts: the code may be older than what it finds."""

import asyncio
import secrets
from pathlib import Path

import psycopg
from harness import config_of, fresh_database
from msgspec.structs import replace

from usercenter import migrations
from usercenter.cli.process import service
from usercenter.cli.schema import usable
from usercenter.config.model import Embedded
from usercenter.embedded.parts import Running


async def test_a_start_on_the_schema_of_a_later_version_uses_it_as_it_is(parts: Running) -> None:
    with fresh_database(parts) as url:
        with psycopg.connect(url) as connection:
            connection.execute("update alembic_version set version_num = '9999'")

        await asyncio.to_thread(usable, url)

        assert migrations.current(url) == "9999"


async def test_the_step_to_0004_finds_the_data_of_0003_and_leaves_it(parts: Running) -> None:
    with fresh_database(parts, template="template1") as url:
        await asyncio.to_thread(migrations.upgrade, url, to="0003")
        with psycopg.connect(url) as connection:
            connection.execute("insert into login_failures (ip_address, failed_at) values ('192.0.2.7', now())")
            connection.execute("insert into reset_requests (network_hash, asked_at) values ('x', now())")

        assert await asyncio.to_thread(migrations.upgrade, url, to="0004") == ("0003", "0004")

        with psycopg.connect(url) as connection:
            kept = connection.execute(
                "select (select count(*) from login_failures), (select count(*) from reset_requests), "
                "(select count(*) from password_guesses)"
            ).fetchone()
        assert kept == (1, 1, 0)


async def test_the_step_to_0005_takes_addresses_that_are_longer_than_an_index_holds(parts: Running) -> None:
    with fresh_database(parts, template="template1") as url:
        await asyncio.to_thread(migrations.upgrade, url, to="0004")
        with psycopg.connect(url) as connection:
            connection.execute("drop index login_log_ip_address_logged_in_at_idx")  # which would hold it already
            connection.execute(
                "insert into login_log (event_id, user_id, logged_in_at, ip_address) "
                "select gen_random_uuid(), gen_random_uuid(), now(), a from unnest(%s::text[]) a",
                (["192.0.2.7", secrets.token_hex(5_000)],),
            )
            connection.execute("create index login_log_ip_address_logged_in_at_idx on login_log (logged_in_at)")

        assert await asyncio.to_thread(migrations.upgrade, url, to="0005") == ("0004", "0005")

        with psycopg.connect(url) as connection:
            lengths = connection.execute("select length(ip_address) from login_log order by 1").fetchall()
        assert lengths == [(9,), (64,)]


async def test_a_start_tells_that_it_brought_up_a_database_of_somebodys_own(parts: Running, tmp_path: Path) -> None:
    said: list[str] = []
    with fresh_database(parts, template="template1") as url:
        embedded = Embedded(is_enabled=True, data_dir=str(tmp_path))
        for _ in range(2):
            async with service(replace(config_of(parts, url), embedded=embedded), roles=["api"], announce=said.append):
                pass

    assert said.count(f"the schema of database.url was brought from empty to {migrations.head()}") == 1
