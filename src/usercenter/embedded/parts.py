"""Starts the parts that the config has no address for, and finds them again from another terminal."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from usercenter.config.model import Config, Kafka
from usercenter.embedded import data_dir as data_dirs
from usercenter.embedded import endpoints as files
from usercenter.embedded import ports, token_key
from usercenter.embedded.endpoints import Endpoints
from usercenter.embedded.errors import NothingRunning
from usercenter.embedded.kafka_cluster import KafkaCluster
from usercenter.embedded.mail_catcher import MailCatcher
from usercenter.embedded.postgres import Postgres
from usercenter.embedded.sms_catcher import SmsCatcher
from usercenter.embedded.valkey import Valkey

Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Running:
    """The started parts (None where the config names a server of its own), and the config that leads to them."""

    config: Config
    endpoints: Endpoints
    data_dir: Path
    postgres: Postgres | None
    kafka: KafkaCluster | None
    valkey: Valkey | None
    mail: MailCatcher | None
    sms: SmsCatcher | None


@asynccontextmanager
async def running(config: Config, *, announce: Announce) -> AsyncIterator[Running]:
    """Start, side by side, each part whose address is empty, and stop them all, last first, at the end.

    `announce` gets one line for a person at each step. The servers end with this process however it ends.
    Raises PartUnavailable, AlreadyRunning, OtherVersion.
    """
    folder = data_dir(config)
    async with data_dirs.claimed(folder) as lock:
        parts = _Parts(config, folder, lock, announce)
        try:
            await parts.start()
            found = parts.endpoints()
            files.write(folder, found)
            yield parts.running(found)
        finally:
            files.remove(folder)
            await parts.stop()


def attached(config: Config) -> Config:
    """The config with its empty addresses taken from the instance that runs on the same data directory.

    Unchanged where nothing is embedded or nothing is missing. Raises NothingRunning.
    """
    missing = _missing(config)
    if not config.embedded.is_enabled or not missing:
        return config
    found = files.read(data_dir(config))
    if found is None:
        raise NothingRunning(data_dir(config), missing)
    return filled_in(config, found)


def filled_in(config: Config, found: Endpoints) -> Config:
    """A copy of the config whose empty addresses, and token key, are those of the running parts."""
    database, cache, mail, tokens = config.database, config.cache, config.mail, config.tokens
    if not mail.host and found.smtp_host:
        mail = replace(mail, host=found.smtp_host, port=found.smtp_port, security="none", username="", password="")
    sms = config.sms
    if not sms.base_url and found.sms_url:
        access = {"account_sid": "embedded", "auth_token": "embedded", "sender": sms.sender or "usercenter"}
        sms = replace(sms, base_url=found.sms_url, **access)
    if not tokens.private_key and found.token_key_file:
        tokens = replace(tokens, private_key=Path(found.token_key_file).read_text(encoding="ascii"))
    return replace(
        config,
        kafka=config.kafka if config.kafka.brokers else _at(config.kafka, found.brokers),
        database=replace(database, url=database.url or found.database_url),
        cache=replace(cache, url=cache.url or found.cache_url),
        mail=mail,
        sms=sms,
        tokens=tokens,
    )


def _at(kafka: Kafka, brokers: list[str]) -> Kafka:
    """The settings with these brokers; where there are several, each new topic is on all and a record on most."""
    new = kafka.new_topics
    replicas, in_sync = len(brokers), len(brokers) // 2 + 1
    new = replace(
        new,
        replication_factor=max(new.replication_factor, replicas),
        min_insync_replicas=max(new.min_insync_replicas, in_sync),
    )
    return replace(kafka, brokers=brokers, new_topics=new)


def data_dir(config: Config) -> Path:
    """The absolute path of the data directory."""
    return Path(config.embedded.data_dir).expanduser().resolve()


def _missing(config: Config) -> list[str]:
    """The keys of the addresses that are empty."""
    addresses = {
        "kafka.brokers": config.kafka.brokers,
        "database.url": config.database.url,
        "cache.url": config.cache.url,
        "mail.host": config.mail.host,
    }
    return [key for key, address in addresses.items() if not address]


class _Parts:
    """The parts of one instance, made but not yet started."""

    def __init__(self, config: Config, folder: Path, lock: int, announce: Announce) -> None:
        missing = _missing(config)
        self._config, self._folder, self._announce = config, folder, announce
        self.postgres = Postgres(folder / "postgres", lock=lock) if "database.url" in missing else None
        self.kafka = (
            KafkaCluster(folder / "kafka", config.embedded.kafka, lock=lock, announce=announce)
            if "kafka.brokers" in missing
            else None
        )
        self.valkey = Valkey(folder / "valkey", lock=lock) if "cache.url" in missing else None
        self.mail = MailCatcher(folder / "mail") if "mail.host" in missing else None
        self.sms = None if config.sms.base_url else SmsCatcher(folder / "sms")
        wanted = (self.postgres, self.kafka, self.valkey, self.mail, self.sms)
        self._in_order = [part for part in wanted if part is not None]

    async def start(self) -> None:
        """All at once. The first failure cancels the others and is raised alone."""
        tasks = [asyncio.create_task(self._start_one(part)) for part in self._in_order]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Last first; the failure of one keeps none of the others from being stopped."""
        results = [await _outcome(part.stop()) for part in reversed(self._in_order)]
        for failure in filter(None, results):
            raise failure

    def endpoints(self) -> Endpoints:
        """Where they listen now."""
        return Endpoints(
            brokers=self.kafka.brokers if self.kafka else [],
            database_url=self.postgres.url if self.postgres else "",
            cache_url=self.valkey.url if self.valkey else "",
            smtp_host=ports.HOST if self.mail else "",
            smtp_port=self.mail.port if self.mail else 0,
            mail_dir=str(self.mail.directory) if self.mail else "",
            sms_url=self.sms.url if self.sms else "",
            sms_dir=str(self.sms.directory) if self.sms else "",
            token_key_file="" if self._config.tokens.private_key else str(token_key.ensure(self._folder)),
            pid=os.getpid(),
        )

    def running(self, found: Endpoints) -> Running:
        return Running(
            config=filled_in(self._config, found),
            endpoints=found,
            data_dir=self._folder,
            postgres=self.postgres,
            kafka=self.kafka,
            valkey=self.valkey,
            mail=self.mail,
            sms=self.sms,
        )

    async def _start_one(self, part: Postgres | KafkaCluster | Valkey | MailCatcher | SmsCatcher) -> None:
        began = time.monotonic()
        await part.start()
        took = f"{time.monotonic() - began:.1f} s"
        usual = "" if part.port == part.usual_port else f" (port {part.usual_port} is taken)"
        where = ", ".join(part.brokers) if isinstance(part, KafkaCluster) else f"{ports.HOST}:{part.port}"
        self._announce(f"{part.name} on {where}{usual}, up in {took}")


async def _outcome(stopping: Coroutine[None, None, None]) -> Exception | None:
    """Wait for it; answers what went wrong instead of raising it."""
    (result,) = await asyncio.gather(stopping, return_exceptions=True)
    return result if isinstance(result, Exception) else None
