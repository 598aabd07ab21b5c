"""What a process without traces has instead of them, and what a traceparent may be."""

import subprocess
import sys

import pytest

from usercenter.bootstrap import TracingUnavailable, tracing_of
from usercenter.config.model import Config, Tracing
from usercenter.tracing import NOTHING, UNTRACED, trace_of, traceparent_in

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_an_endpoint_we_import_nothing_of_opentelemetry():
    """The client of the cache looks for its metrics by itself, where the packages are installed."""
    code = (
        "import sys, usercenter.cli, usercenter.bootstrap as b; from usercenter.config.model import Config; "
        "assert not b.tracing_of(Config()).is_on; "
        "assert not {'usercenter.otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # ours


def test_without_the_packages_an_endpoint_is_an_error_that_says_what_to_do():
    config = Config(tracing=Tracing(endpoint="http://localhost:4318/v1/traces"))
    code = (
        "import sys; sys.modules['opentelemetry'] = None; from usercenter import bootstrap as b; "
        "from usercenter.config.model import Config, Tracing; "
        f"b.tracing_of(Config(tracing={config.tracing!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.stderr.splitlines()[-1].endswith(f"TracingUnavailable: {TracingUnavailable()}")
    assert "pip install 'usercenter[otel]'" in str(TracingUnavailable())


def test_without_tracing_a_span_takes_everything_and_is_always_the_same():
    tracing = tracing_of(Config())
    with tracing.span("work", "server", parent=GOOD) as span:
        span.rename("other work")
        span.tell({"facts": 1})
        span.fail("Trouble")
        span.end()
    assert tracing is UNTRACED
    assert span is NOTHING
    assert span.traceparent is None


@pytest.mark.parametrize("good", [GOOD, GOOD[:-1] + "0", "01" + GOOD[2:]])
def test_a_traceparent_is_read_as_it_is(good):
    assert traceparent_in({"traceparent": good, "x": "y"}) == good
    assert trace_of(good) == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}


@pytest.mark.parametrize(
    "bad",
    ["", "00-1-2-01", "ff" + GOOD[2:], GOOD + "-x", GOOD + "\n", GOOD.upper(), f"00-{'0' * 32}-{'1' * 16}-01",
     f"00-{'1' * 32}-{'0' * 16}-01"],
)  # fmt: skip
def test_what_is_no_traceparent_belongs_to_no_trace(bad):
    assert traceparent_in({"traceparent": bad}) is None
    assert traceparent_in({}) is None
    assert trace_of(None) == {}
