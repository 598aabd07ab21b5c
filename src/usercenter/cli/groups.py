"""`usercenter groups`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from usercenter.cli import candidates
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import NOTHING_CHANGED, Json, Yes
from usercenter.cli.overview import Live, seen
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.config import Config
    from usercenter.messaging.consumer_groups import ConsumerGroup, Place
    from usercenter.messaging.overviews import Overview
    from usercenter.messaging.resets import Start


def _can_be_a_group(_: Any, name: str) -> None:
    if not name:
        raise ValueError("it is empty: `usercenter groups list`")


GroupName = Annotated[str, Parameter(completer=candidates.groups, validator=_can_be_a_group, help="The group.")]
_INBOX = (
    "Reading again does no harm: the inbox knows, for retention.inbox_days, what was handled, and nothing has a second "
    "effect. To have effects made anew, use `usercenter replay`."
)


def list_(*, json: Json = False, live: Live = False, config: ConfigFile = None) -> None:
    """List the consumer groups of the brokers, with how far they are behind, as the service saw them a moment ago."""

    def kept(overview: "Overview") -> "tuple[list[ConsumerGroup], int] | None":
        return (overview.cluster.groups, overview.cluster.groups_left_out) if overview.cluster else None

    settings = of_running(config)
    found = seen(settings, kept, lambda: _all_groups(settings), is_live=live)
    groups, left_out = found.what
    shown = [_summary(group, found.at) for group in groups]
    if json:
        show_json(found.told(groups=shown, groups_left_out=left_out))
    else:
        titles = ("group", "state", "members", "topics", "lag", "seconds behind", "last commit")
        show_table(titles, [list(each.values()) for each in shown])
    if left_out:
        say(f"{left_out} more groups are there: --live asks for all")


def describe(name: GroupName, /, *, json: Json = False, live: Live = False, config: ConfigFile = None) -> None:
    """Describe one group: its members, and in each partition what is committed, the lag in records and in seconds.

    As the service saw it a moment ago; --live asks the brokers.
    """
    from usercenter.messaging import live as brokers_now

    def kept(overview: "Overview") -> "ConsumerGroup | None":
        groups = overview.cluster.groups if overview.cluster else []
        return next((each for each in groups if each.name == name), None)

    settings = of_running(config)
    found = seen(settings, kept, lambda: brokers_now.group(settings.kafka, name), is_live=live)
    group = found.what
    if json:
        show_json(found.told(group=group))
        return
    show(plain(f"group {group.name}: {group.state}, protocol {group.protocol}, coordinator {group.coordinator}"))
    for member in group.members:
        show(plain(f"member {member.client_id} at {member.host}, {len(member.partitions)} partitions: {member.id}"))
    titles = ("topic", "partition", "committed", "earliest", "next", "lag", "seconds behind", "committed at", "member")
    rows = [
        (
            *(p.topic, p.partition, p.committed, p.earliest, p.next, p.lag),
            *(_seconds(p, found.at), p.committed_at, p.member),
        )
        for p in group.places
    ]
    show_table(titles, rows)


def reset_offsets(
    name: GroupName,
    /,
    *,
    to: Annotated[
        str | None,
        Parameter(name="--to", help="earliest, latest, an offset, or a moment (ISO 8601; UTC unless it says)."),
    ] = None,
    shift_by: Annotated[int | None, Parameter(help="So many records forwards, or (negative) backwards.")] = None,
    yes: Yes = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Let a group go on somewhere else; without --yes only show where. Refused while the group is running."""
    from usercenter.messaging import resets

    kafka, start = of_running(config).kafka, _start(to, shift_by)
    moves = resets.plan(kafka, name, start)
    if yes:
        resets.move(kafka, name, moves)
    if json:
        show_json({"group": name, "is_done": yes, "moves": moves})
    else:
        rows = [(m.topic, m.partition, m.committed, m.to, m.to - (m.committed or 0)) for m in moves]
        show_table(("topic", "partition", "committed", "goes on at", "difference"), rows)
    done = f"{name} goes on there." if yes else NOTHING_CHANGED
    say(f"{done} {_INBOX}")


def _start(to: str | None, shift_by: int | None) -> "Start":
    from usercenter.messaging.resets import Start

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


async def _all_groups(config: "Config") -> "tuple[list[ConsumerGroup], int]":
    from usercenter.messaging import live

    return await live.groups(config.kafka), 0


def _summary(group: "ConsumerGroup", now: datetime) -> dict[str, Any]:
    return {
        "group": group.name,
        "state": group.state,
        "members": len(group.members),
        "topics": ",".join(sorted({place.topic for place in group.places})),
        "lag": group.lag,
        "seconds_behind": _seconds(group, now),
        "last_commit": group.committed_at,
    }


def _seconds(behind: "ConsumerGroup | Place", now: datetime) -> float | None:
    """Since when it is behind; None where nobody knows."""
    if not behind.lag:
        return 0.0
    since = behind.oldest_unread_at
    return round(max(0.0, (now - since).total_seconds()), 1) if since else None
