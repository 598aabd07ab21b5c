"""Is it alive, is it ready, what is it connected to: the answers, and the status that each is given with.

Kafka's state is the last look of the watch, never a question to the brokers; PostgreSQL and the cache are asked.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Literal, TypeVar

import msgspec
import redis

from usercenter import __version__
from usercenter.api.services import Services
from usercenter.db import TRANSIENT, DatabaseUnavailable
from usercenter.messaging.brokers import KafkaState

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 2.0


class StoreState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """PostgreSQL or the cache."""

    is_reachable: bool
    version: str | None = None
    error: str | None = None
    next_step: str | None = None


class Health(msgspec.Struct, kw_only=True):
    """The whole picture. `ok`; `degraded`: it serves, something waits; `down`: it cannot serve."""

    status: Literal["ok", "degraded", "down"]
    version: str
    kafka: KafkaState
    postgresql: StoreState
    cache: StoreState | None
    problems: list[str]
    troubles: list[str]
    """Why messages cannot be sent, though a broker answers; events wait, people are served."""
    notes: list[str]
    """What keeps nothing from working: receivers that are left alone for a while, because they fail."""


class Short(msgspec.Struct, kw_only=True):
    """A yes or no with its reasons."""

    status: Literal["ok", "unavailable"]
    reasons: list[str] = []


async def readiness(services: Services) -> tuple[Short, int]:
    """Whether the process can do its work, with 200 or 503. Kafka's absence is no reason: events wait."""
    reasons = services.problems()
    postgresql = await _postgresql(services)
    if not postgresql.is_reachable:
        reasons = [f"PostgreSQL: {postgresql.error}", *reasons]
    return Short(status="unavailable" if reasons else "ok", reasons=reasons), 503 if reasons else 200


async def health(services: Services) -> tuple[Health, int]:
    """Everything that this process is connected to, with 200, or 503 when it cannot serve."""
    postgresql, cache = await asyncio.gather(_postgresql(services), _cache(services))
    kafka, problems, troubles = services.kafka_state(), services.problems(), services.troubles()
    is_fine = kafka.is_reachable and not problems and not troubles and (cache is None or cache.is_reachable)
    status: Any = "down" if not postgresql.is_reachable else "ok" if is_fine else "degraded"
    body = Health(
        status=status,
        version=__version__,
        kafka=kafka,
        postgresql=postgresql,
        cache=cache,
        problems=problems,
        troubles=troubles,
        notes=services.notes(),
    )
    return body, 503 if status == "down" else 200


async def _postgresql(services: Services) -> StoreState:
    try:
        return StoreState(is_reachable=True, version=await _answer(services.database.server_version()))
    except (DatabaseUnavailable, TimeoutError, *TRANSIENT) as error:
        step = "start PostgreSQL or correct `database.url`; requests are answered 503 and nothing is lost meanwhile"
        return StoreState(is_reachable=False, error=_short(error), next_step=step)


async def _cache(services: Services) -> StoreState | None:
    if services.cache is None:
        return None
    try:
        information = await _answer(services.cache.info("server"))
    except (redis.RedisError, OSError, TimeoutError) as error:
        step = "start Valkey or correct `cache.url`; reads go to PostgreSQL meanwhile"
        return StoreState(is_reachable=False, error=_short(error), next_step=step)
    version = information.get("valkey_version") or information.get("redis_version")
    return StoreState(is_reachable=True, version=str(version))


async def _answer(question: Awaitable[T]) -> T:
    """The answer, or TimeoutError when our patience ends: at once, though to call the question off may take longer.

    (A frozen PostgreSQL keeps a cancelled statement waiting for another ten seconds.)
    """
    task = asyncio.ensure_future(question)
    try:
        await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        task.cancel()
        task.add_done_callback(_let_go)


def _let_go(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # seen, or of no interest any more


def _short(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_PATIENCE_SECONDS:g} s"
    return (str(error) or error.__class__.__name__).splitlines()[0]
