"""Traces: which work belongs to which request, across processes and across Kafka.

Here is what the rooms work with, and it knows no OpenTelemetry: `Tracing` and `Span` as they stand here do nothing, and
that is what a process without traces has. The ones that export are in `usercenter/otel.py`. A trace is carried from
work to work as a W3C `traceparent`: in the header of a request, in the headers of a message, in those of a task.
No name, address or text of a user goes into an attribute: ids, numbers and our own names do.
"""

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Final, Literal, NamedTuple, Self

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int | float | bool]

HEADER: Final = "traceparent"
_VALID: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def traceparent_in(headers: Mapping[str, str]) -> str | None:
    """The traceparent of a message; None where there is none, or one that nobody can read."""
    found = headers.get(HEADER)
    return found if found and _VALID.match(found) else None


def trace_of(traceparent: str | None) -> dict[str, str]:
    """What a log line says of a trace: `trace_id`, or nothing at all."""
    return {"trace_id": traceparent[3:35]} if traceparent else {}


class Link(NamedTuple):
    """Another piece of work that this one follows from."""

    traceparent: str
    attributes: Attributes = {}


class Span:
    """A piece of work in a trace. As a context manager it is the parent of what begins inside, and ends with it.

    This one is none: it takes everything and keeps nothing.
    """

    traceparent: str | None = None
    """What work elsewhere carries to belong to it."""

    def rename(self, name: str) -> None:
        """Call it otherwise, where its name is known only at the end."""

    def tell(self, attributes: Attributes) -> None:
        """Add facts."""

    def fail(self, reason: str) -> None:
        """It has failed, with an error of this kind: the name of a class or a status, never a message."""

    def end(self) -> None:
        """It ends now; for spans that are no context managers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Ends it; failed if an exception passes by, unless its class says `is_failure = False`."""


NOTHING: Final = Span()


class Tracing:
    """Begins spans. This one does not: it costs a call."""

    is_on: ClassVar[bool] = False
    """Whether it is worth while to gather what a span would say."""

    def span(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """A span that has begun: under `parent`, or with links alone the first of a new trace, or in the current one.

        Names and attributes must be of a kind that has few values, ids aside.
        """
        del name, kind, parent, links, attributes
        return NOTHING

    async def close(self) -> None:
        """Hand over what is not handed over yet, within limits. May be called twice."""


UNTRACED: Final = Tracing()
