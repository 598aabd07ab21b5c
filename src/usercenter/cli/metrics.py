"""`usercenter metrics`."""

from collections.abc import Iterable, Iterator
from typing import Final

from usercenter.measures import OURS, PROCESS, Measure

_HEAD: Final = """# The metrics

Printed from `src/usercenter/measures.py` by `usercenter metrics docs`; a test compares it, and another one compares the
list with what a running system says. Each process answers `/metrics` on its HTTP port (`server.port`, without the role
`api` on `server.monitoring_port`); nothing there asks Kafka or PostgreSQL. Alerts and dashboards are in
[deploy](../deploy/README.md).

What all workers see alike (outbox, tasks, dead letters, groups, handlers) each of them tells: take `max by (…)`, never
the sum. All else is of the one process. `kafka_client_*` are the statistics of the client library, every five seconds;
`client` is `relay`, `relay.single` (which sends refused messages one by one) or the name of a consumer group.
"""


def docs() -> None:
    """Print the list of all metrics as one Markdown page.

    Example: usercenter metrics docs > docs/metrics.md
    """
    print("\n".join(_lines()))  # noqa: T201


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _table(OURS)
    yield "\n## Of any process\n\nFrom the client library for Prometheus, on Linux.\n"
    yield from _table(PROCESS)


def _table(measures: Iterable[Measure]) -> Iterator[str]:
    yield "| metric | kind | unit | labels | meaning | alert |\n|---|---|---|---|---|---|"
    for each in measures:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        alert = f"[{each.alert}](../deploy/prometheus/rules.yml)" if each.alert else ""
        yield f"| `{each.name}` | {each.kind} | {each.unit} | {labels} | {each.meaning} | {alert} |"
