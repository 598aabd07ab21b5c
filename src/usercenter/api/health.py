"""Is it alive, is it ready, what is it connected to; and the figures for Prometheus: the routes of the front door.

What they say is `condition.py`; `service_door.py` says the same where there is no front door.
"""

from typing import Final

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from usercenter.api import condition
from usercenter.api.condition import Health, Short
from usercenter.api.injection import OurServices
from usercenter.metrics import CONTENT_TYPE

_PROMETHEUS: Final = CONTENT_TYPE.removesuffix("; charset=utf-8")  # the web framework adds it to every text


def _unavailable(body: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """The same answer with the status 503, for the OpenAPI description."""
    return {503: ResponseSpec(body, generate_examples=False, description="It cannot serve at the moment")}


@get("/live", operation_id="live", tags=["health"], sync_to_thread=False)
def live() -> Short:
    """The process runs and answers."""
    return Short(status="ok")


@get("/ready", operation_id="ready", responses=_unavailable(Short), tags=["health"])
async def ready(services: OurServices) -> Response[Short]:
    """The process can do its work: 200, else 503 with the reasons. Kafka's absence is no reason: events wait."""
    body, status = await condition.readiness(services)
    return Response(body, status_code=status)


@get("/health", operation_id="health", responses=_unavailable(Health), tags=["health"])
async def health(services: OurServices) -> Response[Health]:
    """Everything that this process is connected to: 200, or 503 when it cannot serve."""
    body, status = await condition.health(services)
    return Response(body, status_code=status)


@get("/metrics", operation_id="metrics", tags=["health"], media_type=_PROMETHEUS, sync_to_thread=False)
def metrics(services: OurServices) -> bytes:
    """The figures of this process in Prometheus's text format."""
    return services.metrics.text()
