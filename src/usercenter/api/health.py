"""Is it alive, is it ready, what is it connected to; and the figures for Prometheus.

Kafka's state is the last look of the watch, never a question to the brokers; PostgreSQL and the cache are asked.
"""

import asyncio
from typing import Any, Final, Literal

import msgspec
import redis
from litestar import Response, get

from usercenter import __version__
from usercenter.api.services import OurServices, Services
from usercenter.db import TRANSIENT, DatabaseUnavailable
from usercenter.messaging.brokers import KafkaState
from usercenter.metrics import CONTENT_TYPE

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


class Short(msgspec.Struct, kw_only=True):
    """A yes or no with its reasons."""

    status: Literal["ok", "unavailable"]
    reasons: list[str] = []


@get("/live", tags=["health"], sync_to_thread=False)
def live() -> Short:
    """The process runs and answers."""
    return Short(status="ok")


@get("/ready", tags=["health"])
async def ready(services: OurServices) -> Response[Short]:
    """The process can do its work: 200, else 503 with the reasons. Kafka's absence is no reason: events wait."""
    reasons = services.problems()
    postgresql = await _postgresql(services)
    if not postgresql.is_reachable:
        reasons = [f"PostgreSQL: {postgresql.error}", *reasons]
    return Response(
        Short(status="unavailable" if reasons else "ok", reasons=reasons), status_code=503 if reasons else 200
    )


@get("/health", tags=["health"])
async def health(services: OurServices) -> Response[Health]:
    """Everything that this process is connected to: 200, or 503 when it cannot serve."""
    postgresql, cache = await asyncio.gather(_postgresql(services), _cache(services))
    kafka, problems = services.kafka_state(), services.problems()
    is_fine = kafka.is_reachable and not problems and (cache is None or cache.is_reachable)
    status: Any = "down" if not postgresql.is_reachable else "ok" if is_fine else "degraded"
    body = Health(
        status=status, version=__version__, kafka=kafka, postgresql=postgresql, cache=cache, problems=problems
    )
    return Response(body, status_code=503 if status == "down" else 200)


@get("/metrics", tags=["health"], media_type=CONTENT_TYPE, sync_to_thread=False)
def metrics(services: OurServices) -> bytes:
    """The figures of this process in Prometheus's text format."""
    return services.metrics.text()


async def _postgresql(services: Services) -> StoreState:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return StoreState(is_reachable=True, version=await services.database.server_version())
    except (DatabaseUnavailable, TimeoutError, *TRANSIENT) as error:
        step = "start PostgreSQL or correct `database.url`; requests are answered 503 and nothing is lost meanwhile"
        return StoreState(is_reachable=False, error=_short(error), next_step=step)


async def _cache(services: Services) -> StoreState | None:
    if services.cache is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            information = await services.cache.info("server")
    except (redis.RedisError, OSError, TimeoutError) as error:
        step = "start Valkey or correct `cache.url`; reads go to PostgreSQL meanwhile"
        return StoreState(is_reachable=False, error=_short(error), next_step=step)
    version = information.get("valkey_version") or information.get("redis_version")
    return StoreState(is_reachable=True, version=str(version))


def _short(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_PATIENCE_SECONDS:g} s"
    return (str(error) or error.__class__.__name__).splitlines()[0]
