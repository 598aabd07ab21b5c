"""Traces through OpenTelemetry: the only module that knows its packages, and loaded only where traces are wanted.

Spans leave this process in batches, from a thread of their own, by OTLP over HTTP. A collector that is down or slow
delays no work: its spans are dropped once the queue is full, and a stop waits for it two seconds at most. What errors
say is not exported, for it may quote somebody's data: their class is.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from usercenter import __version__
from usercenter.config.model import Tracing as Settings
from usercenter.tracing import Attributes, Kind, Link, Span, Tracing

log = structlog.get_logger()

CLOSE_SECONDS: Final = 2.0
"""How long a stop waits for the collector."""
_EXPORT_SECONDS: Final = 5
_KNOWN_FLAGS: Final = 0b11  # kept, and made at random; W3C has no others
_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


def exporting(settings: Settings, *, longest_batch: int) -> "Traced":
    """Tracing that sends its spans to `tracing.endpoint`; does not look whether anybody is there."""
    exporter = Telling(OTLPSpanExporter(endpoint=settings.endpoint, timeout=_EXPORT_SECONDS))
    logging.getLogger(otlp.__name__).addFilter(_reason)
    logging.getLogger("opentelemetry.sdk").setLevel(logging.ERROR)  # a full queue: told by `Telling` as well
    return Traced(settings, BatchSpanProcessor(exporter), longest_batch=longest_batch, give_up=exporter.shutdown)


class _Reason(logging.Filter):
    """Keeps the first thing that the library says of a failure, for the one line that we log."""

    said = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.said = self.said or record.getMessage()
        return False


_reason: Final = _Reason()


class Telling(SpanExporter):
    """Says once that the collector takes nothing, and once that it does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_taking = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        _reason.said = ""
        result = self._exporter.export(spans)
        is_taking = result is SpanExportResult.SUCCESS
        if is_taking and not self._is_taking:
            log.info("traces.taken_again")
        elif self._is_taking and not is_taking:
            log.warning("traces.not_taken", reason=_reason.said, next="look at tracing.endpoint; spans are lost")
        self._is_taking = is_taking
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Traced(Tracing):
    """Spans of OpenTelemetry, given to a processor. Nothing global is set: two of them do not meet."""

    is_on = True

    def __init__(
        self,
        settings: Settings,
        processor: SpanProcessor,
        *,
        longest_batch: int = 500,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`longest_batch`: how many messages one span may be linked with. `give_up` ends attempts to send."""
        self._give_up = give_up
        self._provider = TracerProvider(
            sampler=ParentBased(_RatioOrLinked(settings.sample_ratio)),
            resource=Resource.create({"service.name": settings.service_name, "service.version": __version__}),
            span_limits=SpanLimits(max_links=longest_batch),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("usercenter", __version__)
        self._closing = threading.Thread(target=self._provider.shutdown, name="traces-closing", daemon=True)

    def span(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        around = _around(parent) if parent else Context() if links else None
        found = [trace.Link(_context_of(each.traceparent), dict(each.attributes)) for each in links]
        facts = dict(attributes) if attributes else None
        return _Span(
            self._tracer.start_span(
                name,
                around,
                _KINDS[kind],
                facts,
                found,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    async def close(self) -> None:
        """Send what is not sent yet, at most so long; then it is lost. May be called twice."""
        if self._closing.ident is not None:
            return
        self._closing.start()
        await asyncio.to_thread(self._closing.join, CLOSE_SECONDS)
        if self._closing.is_alive():
            self._give_up()
            log.warning("traces.not_sent", next="look at tracing.endpoint; the last spans of this process are lost")


class _Span(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Any = None

    @property
    def traceparent(self) -> str:  # type: ignore[override]  # never None here, and never written
        own = self._span.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def fail(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if error is not None and getattr(error, "is_failure", True):
            self.fail(type(error).__name__)
        self.end()


class _RatioOrLinked(Sampler):
    """For the first span of a trace: kept if what it follows from is kept, so that no kept trace has a hole."""

    def __init__(self, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)

    def should_sample(  # noqa: PLR0917  # the library calls it so
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        has_kept_cause = any(link.context.trace_flags.sampled for link in links or ())
        chosen: Sampler = ALWAYS_ON if has_kept_cause else self._ratio
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RatioOrLinked({self._ratio.get_description()})"


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & _KNOWN_FLAGS)
    )


def _around(traceparent: str) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_context_of(traceparent)), Context())
