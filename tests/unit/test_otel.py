"""Spans of the real OpenTelemetry, without any network but the one that is missing."""

import asyncio
import socket
import threading

import pytest
from harness import eventually
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from spans import Kept, facts, links, trace_of, traceparent, tree, words
from structlog.testing import capture_logs

from usercenter import __version__
from usercenter.config.model import Server
from usercenter.config.model import Tracing as Settings
from usercenter.messaging.groups import NotYet
from usercenter.otel import CLOSE_SECONDS, Telling, exporting
from usercenter.server import HttpServer
from usercenter.tracing import Link

TRACE = "0af7651916cd43dd8448eb211c80319c"
KEPT_ELSEWHERE = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_KEPT_ELSEWHERE = f"00-{TRACE}-b7ad6b7169203331-00"


def test_a_span_inside_another_one_is_its_child():
    kept = Kept()
    with kept.tracing.span("outer", "server"), kept.tracing.span("inner", "client"):
        pass
    assert tree(kept.spans()) == [("inner", "CLIENT", "outer"), ("outer", "SERVER", "")]


def test_a_span_goes_on_with_the_trace_of_a_client():
    kept = Kept()
    with kept.tracing.span("work", "server", parent=KEPT_ELSEWHERE) as span:
        assert kept.spans() == []  # it has not ended
    (work,) = kept.spans()
    assert trace_of(work) == TRACE
    assert span.traceparent == traceparent(work)
    assert work.parent is not None
    assert work.parent.is_remote


def test_a_trace_that_its_client_does_not_keep_is_not_kept_here_and_says_so_to_others():
    kept = Kept()
    with kept.tracing.span("work", "server", parent=NOT_KEPT_ELSEWHERE) as span, kept.tracing.span("inner"):
        assert span.traceparent is not None
        assert span.traceparent.startswith(f"00-{TRACE}-")
        assert span.traceparent.endswith("-00")
    assert kept.spans() == []


def test_a_ratio_of_nothing_keeps_only_what_others_keep():
    kept = Kept(sample_ratio=0.0)
    kept.tracing.span("own").end()
    kept.tracing.span("linked to what nobody kept", links=[Link(NOT_KEPT_ELSEWHERE)]).end()
    kept.tracing.span("begun by a client", parent=KEPT_ELSEWHERE).end()
    kept.tracing.span("linked", links=[Link(NOT_KEPT_ELSEWHERE), Link(KEPT_ELSEWHERE)]).end()
    assert [span.name for span in kept.spans()] == ["begun by a client", "linked"]


def test_with_links_alone_a_span_begins_a_trace_even_inside_another_one():
    kept = Kept()
    with kept.tracing.span("outer"):
        kept.tracing.span("batch", links=[Link(KEPT_ELSEWHERE, {"n": 1})]).end()
    (batch,) = kept.named("batch")
    assert batch.parent is None
    assert links(batch) == [(KEPT_ELSEWHERE, {"n": 1})]


def test_a_span_of_a_whole_batch_keeps_every_link():
    kept = Kept()
    kept.tracing.span("batch", links=[Link(f"00-{n:032x}-{n:016x}-01") for n in range(1, 501)]).end()
    assert len(kept.named("batch")[0].links) == 500


def test_what_an_error_says_is_told_to_nobody():
    kept = Kept()
    with pytest.raises(ValueError, match="ada"), kept.tracing.span("work"):
        raise ValueError("ada@example.com is taken")
    (work,) = kept.spans()
    assert facts(work) == {"error.type": "ValueError"}
    assert work.status.status_code is StatusCode.ERROR
    assert "ada" not in "".join(words([work]))
    assert work.events == ()


def test_what_is_only_not_due_yet_has_not_failed():
    kept = Kept()
    with pytest.raises(NotYet), kept.tracing.span("work"):
        raise NotYet(5)
    assert kept.spans()[0].status.status_code is StatusCode.UNSET


async def test_what_has_ended_is_at_the_collector_when_the_process_has_stopped():
    collector = Collector()
    server = HttpServer(collector, Server(stop_seconds=1), port=0)
    await server.start()
    settings = Settings(endpoint=f"http://127.0.0.1:{server.address[1]}/v1/traces", service_name="accounts")
    tracing = exporting(settings, longest_batch=500)
    with tracing.span("work", "server", parent=KEPT_ELSEWHERE, attributes={"n": 1}):
        pass
    await tracing.close()
    await server.stop()

    ((path, asked),) = collector.asked
    (resource,) = asked.resource_spans
    (span,) = resource.scope_spans[0].spans
    said = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (path, span.name, span.trace_id.hex()) == ("/v1/traces", "work", TRACE)
    assert (said["service.name"], said["service.version"]) == ("accounts", __version__)


class Collector:
    """An ASGI application that takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ExportTraceServiceRequest]] = []

    async def __call__(self, scope, receive, send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        self.asked.append((scope["path"], ExportTraceServiceRequest.FromString(body)))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Moody(SpanExporter):
    """Takes spans or not, as it is told."""

    def __init__(self, *takes: bool) -> None:
        self._left = list(takes)

    def export(self, spans):
        return SpanExportResult.SUCCESS if self._left.pop(0) else SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_told_of_once_and_once_when_it_is_back():
    exporter = Telling(Moody(True, False, False, True, True, False))
    with capture_logs() as lines:
        for _ in range(6):
            exporter.export([])
    assert [line["event"] for line in lines] == ["traces.not_taken", "traces.taken_again", "traces.not_taken"]


async def test_the_reason_is_told_and_nothing_else_is(caplog):
    tracing = exporting(Settings(endpoint="http://127.0.0.1:1/v1/traces"), longest_batch=500)
    tracing.span("work").end()
    await tracing.close()
    await eventually(sending, lambda names: not names, what="the end of the last attempt")
    events = [line.msg["event"] if isinstance(line.msg, dict) else line.getMessage() for line in caplog.records]
    assert events == ["traces.not_sent", "traces.not_taken"]
    assert "Connection refused" in caplog.records[-1].msg["reason"]


async def test_a_collector_that_never_answers_holds_up_no_work_and_no_stop():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        tracing = exporting(Settings(endpoint=address), longest_batch=500)
        async with asyncio.timeout(CLOSE_SECONDS + 8):
            for _ in range(5_000):  # more than the queue holds
                tracing.span("work").end()
            await tracing.close()
            await tracing.close()
    await eventually(sending, lambda names: not names, what="the end of the last attempt")


def sending() -> list[str]:
    """The threads that still try."""
    return [each.name for each in threading.enumerate() if each.name.startswith(("Otel", "traces-"))]
