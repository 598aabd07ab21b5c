"""`usercenter groups`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json, Yes, say
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.messaging.consumer_groups import ConsumerGroup, Start

_INBOX = (
    "Reading again does no harm: the inbox knows, for retention.inbox_days, what was handled, and nothing has a second "
    "effect. To have effects made anew, use `usercenter replay`."
)


def list_(*, json: Json = False, config: ConfigFile = None) -> None:
    """List the consumer groups of the brokers, with how far they are behind."""
    from usercenter.messaging import consumer_groups

    kafka = of_running(config).kafka
    groups = [consumer_groups.describe(kafka, name) for name in consumer_groups.names(kafka)]
    if json:
        show_json([_summary(group) for group in groups])
        return
    rows = [list(_summary(group).values()) for group in groups]
    show_table(("group", "state", "members", "topics", "lag", "seconds behind"), rows)


def describe(name: str, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Describe one group: its members, and in each partition what is committed, the lag in records and in seconds."""
    from usercenter.messaging import consumer_groups

    group = consumer_groups.describe(of_running(config).kafka, name)
    if json:
        show_json(group)
        return
    show(plain(f"group {group.name}: {group.state}, protocol {group.protocol}, coordinator {group.coordinator}"))
    for member in group.members:
        show(plain(f"member {member.client_id} at {member.host}, {len(member.partitions)} partitions: {member.id}"))
    titles = ("topic", "partition", "committed", "earliest", "next", "lag", "seconds behind", "member")
    rows = [
        (p.topic, p.partition, p.committed, p.earliest, p.next, p.lag, _seconds(p.oldest_unread_at), p.member)
        for p in group.places
    ]
    show_table(titles, rows)


def reset_offsets(
    name: str,
    /,
    *,
    to: Annotated[str | None, Parameter(name="--to")] = None,
    shift_by: int | None = None,
    yes: Yes = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Let a group go on somewhere else; without --yes only show where. Refused while the group is running.

    Parameters
    ----------
    to: `earliest`, `latest`, an offset, or a moment (ISO 8601; without a zone: UTC).
    shift_by: So many records forwards, or (negative) backwards.
    yes: Do it.
    """
    from usercenter.messaging import consumer_groups

    kafka, start = of_running(config).kafka, _start(to, shift_by)
    moves = consumer_groups.plan(kafka, name, start)
    if yes:
        consumer_groups.move(kafka, name, moves)
    if json:
        show_json({"group": name, "is_done": yes, "moves": moves})
    else:
        rows = [(m.topic, m.partition, m.committed, m.to, m.to - (m.committed or 0)) for m in moves]
        show_table(("topic", "partition", "committed", "goes on at", "difference"), rows)
    done = f"{name} goes on there." if yes else "Nothing was changed: say --yes to do it."
    say(f"{done} {_INBOX}")


def _start(to: str | None, shift_by: int | None) -> "Start":
    from usercenter.messaging.consumer_groups import Start

    if (to is None) == (shift_by is None):
        raise CommandFailed("say where: --to earliest|latest|OFFSET|MOMENT, or --shift-by NUMBER", status=2)
    if to is None:
        return Start(kind="shift", number=shift_by or 0)
    if to == "earliest":
        return Start(kind="earliest")
    if to == "latest":
        return Start(kind="latest")
    return Start(kind="offset", number=int(to)) if to.isdigit() else Start(kind="time", moment=_moment(to))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandFailed(
            f"{text!r} is no place to go on: say earliest, latest, an offset, or a moment like 2026-11-23T00:00:00Z",
            status=2,
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _summary(group: "ConsumerGroup") -> dict[str, Any]:
    return {
        "group": group.name,
        "state": group.state,
        "members": len(group.members),
        "topics": ",".join(sorted({place.topic for place in group.places})),
        "lag": group.lag,
        "seconds_behind": _seconds(group.oldest_unread_at),
    }


def _seconds(since: datetime | None) -> float:
    return round(max(0.0, (datetime.now(UTC) - since).total_seconds()), 1) if since else 0.0
