"""How the tour looks on a terminal."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from usercenter.cli.receiver import Call
from usercenter.messaging.router import Received


class Line(NamedTuple):
    """A line of the table at the end."""

    event: str
    effect: str
    milliseconds: float | None
    facts: str


def show_json(console: Console, value: Any) -> None:
    """A JSON value, with tokens cut: they are as long as they are dull."""
    text = json.dumps(_shortened(value), indent=2, ensure_ascii=False)
    console.print(Syntax(text, "json", background_color="default", word_wrap=True))


def event_panel(message: Received) -> Panel:
    """A message as it lies on Kafka."""
    table = Table(show_header=False, box=None)
    table.add_row("partition, offset", f"{message.partition}, {message.offset}")
    table.add_row("key", (message.key or b"").decode())
    for name, value in message.headers.items():
        table.add_row(f"header {name}", value)
    value = json.dumps(json.loads(message.value or b"{}"), indent=2, ensure_ascii=False)
    table.add_row("value", Syntax(value, "json", background_color="default", word_wrap=True))
    return Panel(table, title=f"on {message.topic}")


def mail_panel(mail: Any) -> Panel:
    """A mail as the SMTP server got it."""
    names = ("From", "To", "Subject", "Date", "Message-ID")
    head = "\n".join(f"{name}: {mail.message[name]}" for name in names)
    return Panel(Text(f"{head}\n\n{mail.text()}"), title="the mail, as the SMTP server got it")


def sms_panel(text: Any) -> Panel:
    """A text message as the provider got it."""
    return Panel(Text(f"From: {text.sender}\nTo: {text.to}\n\n{text.body}"), title="the SMS, as the provider got it")


def call_panel(call: Call) -> Panel:
    """A webhook call as its receiver got it."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    lines = [f"{name}: {call.headers.get(name)}" for name in names]
    lines.append(f"signature: {'verified' if call.is_signed else 'WRONG'}")
    lines.append(json.dumps(call.event, ensure_ascii=False))
    return Panel(Text("\n".join(lines)), title="the webhook call, as another system got it")


def topic_table(messages: Sequence[Received]) -> Table:
    """What lies on the other topics, a line each."""
    table = _table("topic", "at", "type", "what")
    for message in messages:
        value = json.loads(message.value or b"{}")
        channel = " by SMS" if value.get("channel") == "sms" else ""
        what = f"{value.get('template', value.get('metric', ''))}{channel} {value.get('to') or value['user_id']}"
        table.add_row(message.topic, f"{message.partition}, {message.offset}", value["type"], _on_one_line(what))
    return table


def effect_table(lines: Sequence[Line]) -> Table:
    """Event, effect, and when it was done."""
    table = _table("event", "effect", "done after", "what")
    before = ""
    for line in lines:
        after = "[red]never[/]" if line.milliseconds is None else f"{line.milliseconds:.0f} ms"
        table.add_row("" if line.event == before else line.event, line.effect, after, _on_one_line(line.facts))
        before = line.event
    return table


def _table(*columns: str) -> Table:
    """A table whose rows stay lines in 80 columns: the last column gives way."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=name != columns[-1])
    return table


def _on_one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _shortened(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: f"{each[:12]}…" if name.endswith(("token", "secret")) and isinstance(each, str) else _shortened(each)
        for name, each in value.items()
    }
