"""Spans of the real OpenTelemetry, kept in memory: what tests of traces look at."""

from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from usercenter.config.model import Tracing as Settings
from usercenter.otel import Traced


class Kept:
    """A tracing to be passed in, and the spans that have ended."""

    def __init__(self, **settings: float) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Traced(Settings(**settings), SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        """All of them, in the order of their beginnings."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def of_trace(self, trace_id: str) -> list[ReadableSpan]:
        """Those of one trace."""
        return [span for span in self.spans() if trace_of(span) == trace_id]

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name."""
        return [span for span in self.spans() if span.name == name]


def trace_of(span: ReadableSpan) -> str:
    """Its trace, as a traceparent writes it."""
    return f"{span.context.trace_id:032x}"


def traceparent(span: ReadableSpan) -> str:
    """What belongs to it carries this."""
    return _traceparent(span.context)


def tree(spans: list[ReadableSpan]) -> list[tuple[str, str, str]]:
    """Name, kind and the parent's name of each ("" for none), sorted; one that is not among them is `elsewhere`."""
    names = {span.context.span_id: span.name for span in spans}
    return sorted(
        (span.name, span.kind.name, names.get(span.parent.span_id, "elsewhere") if span.parent else "")
        for span in spans
    )


def facts(span: ReadableSpan) -> dict[str, object]:
    """Its attributes."""
    return dict(span.attributes or {})


def links(span: ReadableSpan) -> list[tuple[str, dict[str, object]]]:
    """The traceparent and the attributes of each of its links."""
    return [(_traceparent(link.context), dict(link.attributes or {})) for link in span.links]


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def words(spans: list[ReadableSpan]) -> Iterator[str]:
    """Everything that the spans say and that somebody could read there."""
    for span in spans:
        yield span.name
        yield str(span.status.description)
        yield from map(str, facts(span).values())
        yield from (str(event.attributes) for event in span.events)
        yield from (str(attributes) for _, attributes in links(span))
