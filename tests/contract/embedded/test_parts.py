"""The parts are the real ones: each answers a real request, keeps its data, and listens on this machine alone."""

import stat
from pathlib import Path

import psutil
import psycopg
import pytest
import redis.asyncio
from joserfc.jwk import OKPKey

from usercenter.config.model import Cache, Config, Database, Embedded, Kafka, Mail
from usercenter.embedded import endpoints, parts
from usercenter.embedded.endpoints import Endpoints
from usercenter.embedded.errors import AlreadyRunning, NothingRunning, OtherVersion
from usercenter.embedded.parts import Running, attached, running

ELSEWHERE = "elsewhere.example"


def only_valkey(data_dir: Path) -> Config:
    return Config(
        embedded=Embedded(is_enabled=True, data_dir=str(data_dir)),
        kafka=Kafka(brokers=[f"{ELSEWHERE}:9092"]),
        database=Database(url=f"postgresql://{ELSEWHERE}/db"),
        mail=Mail(host=ELSEWHERE),
    )


async def test_postgresql_18_answers_on_the_url_that_is_filled_in(parts: Running) -> None:
    async with await psycopg.AsyncConnection.connect(parts.config.database.url) as connection:
        found = await connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_database()"
        )
        assert await found.fetchone() == (18, "usercenter")


async def test_postgresql_is_durable_and_knows_the_case_of_all_letters(parts: Running) -> None:
    async with await psycopg.AsyncConnection.connect(parts.config.database.url) as connection:
        found = await connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), lower('ÄЖ'),"
            " current_setting('max_connections')::int >= 100"
        )
        assert await found.fetchone() == ("on", "on", "äж", True)


async def test_postgresql_refuses_a_connection_without_the_password(parts: Running) -> None:
    assert parts.postgres
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(
            f"postgresql://usercenter:wrong@127.0.0.1:{parts.postgres.port}/usercenter"
        )


async def test_postgresql_stopped_and_started_keeps_its_rows_and_its_port(parts: Running) -> None:
    assert parts.postgres
    url = parts.postgres.url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await parts.postgres.kill()
    await parts.postgres.start()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT number FROM kept")
        assert await found.fetchone() == (7,)


async def test_valkey_answers_on_the_url_that_is_filled_in(parts: Running) -> None:
    async with redis.asyncio.Redis.from_url(parts.config.cache.url) as client:
        assert await client.set("greeting", "hello")
        assert await client.get("greeting") == b"hello"


async def test_every_server_listens_on_this_machine_alone(parts: Running) -> None:
    servers = (parts.postgres, *(parts.kafka.members if parts.kafka else ()), parts.valkey)
    sockets = [each for server in servers if server for each in psutil.Process(server.pid).net_connections("inet")]
    listening = {each.laddr.ip.removeprefix("::ffff:") for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_token_key_is_made_once_and_only_its_owner_may_read_it(parts: Running) -> None:
    path = Path(parts.endpoints.token_key_file)
    assert OKPKey.import_key(parts.config.tokens.private_key).is_private
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_another_terminal_finds_the_running_parts(parts: Running) -> None:
    config = Config(embedded=Embedded(is_enabled=True, data_dir=str(parts.data_dir)))
    found = attached(config)
    assert (found.kafka, found.database, found.cache, found.mail, found.tokens) == (
        parts.config.kafka,
        parts.config.database,
        parts.config.cache,
        parts.config.mail,
        parts.config.tokens,
    )
    assert found.mail.security == "none"


async def test_a_second_instance_on_the_same_data_is_refused_and_harms_nothing(parts: Running) -> None:
    with pytest.raises(AlreadyRunning, match=r"in use by process \d+.*embedded\.data_dir"):
        async with running(Config(embedded=Embedded(data_dir=str(parts.data_dir))), announce=print):
            pytest.fail("two instances on one directory")
    assert endpoints.read(parts.data_dir) == parts.endpoints


async def test_a_taken_port_is_left_alone_and_another_one_is_used(parts: Running, tmp_path: Path) -> None:
    lines: list[str] = []
    async with running(only_valkey(tmp_path), announce=lines.append) as second:
        assert second.valkey
        assert second.valkey.port not in {6379, parts.valkey.port if parts.valkey else 0}
        async with redis.asyncio.Redis.from_url(second.config.cache.url) as client:
            assert await client.ping()
    assert any("port 6379 is taken" in line for line in lines)


async def test_only_what_has_no_address_is_started_and_the_rest_stays_as_configured(tmp_path: Path) -> None:
    async with running(only_valkey(tmp_path), announce=print) as second:
        assert (second.postgres, second.kafka, second.mail) == (None, None, None)
        assert second.config.mail == Mail(host=ELSEWHERE)
        assert second.config.cache.url.startswith("redis://")


async def test_data_of_other_versions_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text('{"layout":1,"postgres":"17","kafka":"4.3"}')
    with pytest.raises(OtherVersion, match=r"written by PostgreSQL 17 .*Move it away"):
        async with running(only_valkey(tmp_path), announce=print):
            pytest.fail("started on another version's data")


def test_endpoints_are_read_as_they_were_written_while_their_process_lives(tmp_path: Path) -> None:
    written = Endpoints(brokers=["127.0.0.1:9092"], smtp_port=1025, pid=psutil.Process().pid)
    endpoints.write(tmp_path, written)
    assert endpoints.read(tmp_path) == written
    assert stat.S_IMODE((tmp_path / "endpoints.json").stat().st_mode) == 0o600


def test_endpoints_of_a_dead_process_count_for_nothing(tmp_path: Path) -> None:
    endpoints.write(tmp_path, Endpoints(pid=2**22 + 1))
    assert endpoints.read(tmp_path) is None
    assert endpoints.read(tmp_path / "missing") is None


def test_attaching_to_nothing_says_how_to_start_something(tmp_path: Path) -> None:
    config = Config(embedded=Embedded(is_enabled=True, data_dir=str(tmp_path)), mail=Mail(host=ELSEWHERE))
    with pytest.raises(NothingRunning, match=r"make run.*kafka\.brokers, database\.url, cache\.url in"):
        attached(config)


def test_a_config_that_misses_nothing_is_attached_to_nothing(tmp_path: Path) -> None:
    config = Config(
        embedded=Embedded(is_enabled=True, data_dir=str(tmp_path)),
        kafka=Kafka(brokers=[f"{ELSEWHERE}:9092"]),
        database=Database(url=f"postgresql://{ELSEWHERE}/db"),
        cache=Cache(url=f"redis://{ELSEWHERE}"),
        mail=Mail(host=ELSEWHERE),
    )
    assert attached(config) is config
    assert attached(Config()) == Config()
    assert parts.data_dir(config) == tmp_path
