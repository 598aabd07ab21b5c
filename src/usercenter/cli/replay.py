"""`usercenter replay`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from cyclopts import Parameter

from usercenter.cli import CHECK_FAILED, FINE, WRONG_USAGE, candidates
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import By, Json, Moment, Reason, Yes, who, work
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import plain, say, show, show_json, show_table

if TYPE_CHECKING:
    from usercenter.bootstrap import Workshop
    from usercenter.config import Config
    from usercenter.messaging.operations.replay_plan import Forecast, Wish
    from usercenter.messaging.operations.replays import Replay

ReplayId = Annotated[UUID, Parameter(name="ID", help="The replay, as `replay status` names it.")]


def start(
    *,
    handler: Annotated[
        list[str] | None,
        Parameter(
            completer=candidates.handlers, negative="", help="Run this handler again; may be given several times."
        ),
    ] = None,
    once_too: Annotated[list[str] | None, Parameter(negative="", help="This one too, although it is `once`.")] = None,
    missing: Annotated[bool, Parameter(negative="", help="What verify reports missing, for all handlers.")] = False,
    group: Annotated[str | None, Parameter(completer=candidates.groups, help="With --missing: for this group.")] = None,
    since: Annotated[
        Moment, Parameter(name="--from", help="Not older: 2026-11-24T08:00, or 24h for a day ago.")
    ] = None,
    until: Annotated[Moment, Parameter(name="--to", help="Older than this.")] = None,
    user: Annotated[UUID | None, Parameter(help="Events of this user.")] = None,
    rate: Annotated[int | None, Parameter(help="At most so many events a second.")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what it would do.")] = False,
    yes: Yes = False,
    json: Json = False,
    by: By = None,
    reason: Reason = None,
    config: ConfigFile = None,
) -> int:
    """Run handlers again for events of event_log. Says first what it would do, and does it with --yes.

    Handlers whose second run is not harmless (mails, webhooks, sums) are refused unless --once-too names them again.
    Ctrl-C pauses it. An event that fails is parked in its lane, as at any other time.
    """
    if missing != (group is not None) or missing == bool(handler):
        raise CommandFailed("say --handler NAME, or --missing --group NAME", status=WRONG_USAGE)
    if rate is not None and rate < 1:
        raise CommandFailed("--rate is at least 1", status=WRONG_USAGE)
    settings = of_running(config)
    is_real = yes and not dry_run

    async def do(parts: "Workshop") -> int:
        from usercenter.messaging.operations.replay_plan import Wish

        if group is not None:
            forecast, id_ = await _missing(parts, settings, group, is_real, by=who(by), reason=reason, rate=rate)
        else:
            names = list(dict.fromkeys([*(handler or []), *(once_too or [])]))
            wish = Wish(handlers=names, once_too=once_too or [], since=since, until=until, user_id=user)
            forecast, id_ = await _wished(parts, wish, is_real, by=who(by), reason=reason, rate=rate)
        if json:
            show_json({"is_begun": id_ is not None, "replay": id_, "forecast": forecast})
        else:
            _show_forecast(forecast)
        if id_ is None:
            say("nothing was done; with --yes it begins")
            return FINE
        return await _go_on(parts, settings, id_)

    return work(config, do)


def resume(id_: ReplayId, /, *, config: ConfigFile = None) -> int:
    """Go on with a replay that was paused or killed, from where it stands."""
    settings = of_running(config)

    async def do(parts: "Workshop") -> int:
        return await _go_on(parts, settings, id_)

    return work(config, do)


def pause(id_: ReplayId, /, *, config: ConfigFile = None) -> None:
    """Let a replay stop after the events in hand, wherever it runs."""

    async def do(parts: "Workshop") -> None:
        from usercenter.messaging.operations import replays

        async with parts.database.transaction() as tx:
            await replays.pause(tx, id_)

    work(config, do)
    say(f"paused; `usercenter replay resume {id_}` goes on")


def status(id_: ReplayId | None = None, /, *, json: Json = False, config: ConfigFile = None) -> None:
    """Say how far the latest replays are, or one of them."""

    async def do(parts: "Workshop") -> "Sequence[Replay]":
        from usercenter.messaging.operations import replays

        async with parts.database.transaction() as tx:
            return await replays.latest(tx) if id_ is None else [await replays.find(tx, id_)]

    found = work(config, do)
    if json:
        show_json([msgspec.to_builtins(each) for each in found])
        return
    head = ["id", "state", "group", "handlers", "events", "done", "failed", "skipped"]
    rows = [
        [each.id, each.state, each.group, _names(each), each.total, each.done, each.failed, each.skipped]
        for each in found
    ]
    show_table(head, rows)


def _names(replay: "Replay") -> str:
    return "all, of missing events" if replay.is_missing else ",".join(replay.handlers)


async def _wished(
    parts: "Workshop", wish: "Wish", is_real: bool, *, by: str, reason: str | None, rate: int | None
) -> "tuple[Forecast, UUID | None]":
    from usercenter.messaging.operations import replay_plan

    group = replay_plan.group_of(wish, parts.groups)
    async with parts.database.transaction() as tx:
        forecast = await replay_plan.forecast(tx, wish, group, parts.registry)
        if not is_real:
            return forecast, None
        return forecast, await replay_plan.begin(tx, wish, group, by=by, reason=reason, rate=rate)


async def _missing(
    parts: "Workshop", config: "Config", name: str, is_real: bool, *, by: str, reason: str | None, rate: int | None
) -> "tuple[Forecast, UUID | None]":
    from usercenter.messaging.operations import replay_plan
    from usercenter.messaging.operations.verify import missing

    group = replay_plan.named_group(name, parts.groups)
    async with missing(config, database=parts.database, group=group, registry=parts.registry) as tx:
        forecast = await replay_plan.forecast_missing(tx, group)
        if not is_real:
            return forecast, None
        return forecast, await replay_plan.begin_missing(tx, group, by=by, reason=reason, rate=rate)


async def _go_on(parts: "Workshop", config: "Config", id_: UUID) -> int:
    from usercenter.cli.replay_progress import shown
    from usercenter.messaging.groups import Schedule
    from usercenter.messaging.operations.replay import Replaying

    schedule = Schedule(
        attempts=config.tasks.attempts,
        first_seconds=config.tasks.first_retry_ms / 1000,
        longest_seconds=config.tasks.longest_retry_seconds,
    )
    say(f"replay {id_}")
    with shown() as tell:
        replay = await Replaying(
            id_,
            database=parts.database,
            groups=parts.groups,
            registry=parts.registry,
            context=parts.context,
            topics={stream: topic for topic, stream in parts.streams.items()},
            schedule=schedule,
            tell=tell,
        ).run()
    say(f"{replay.state}: {replay.done} done, {replay.failed} failed, {replay.skipped} skipped of {replay.total}")
    if replay.state != "done":
        say(f"next: usercenter replay resume {id_}")
    return FINE if replay.state == "done" and not replay.failed else CHECK_FAILED


def _show_forecast(forecast: "Forecast") -> None:
    rows = [[each.type, each.events, each.erased, " ".join(each.handlers)] for each in forecast.lines]
    show(plain(f"group {forecast.group}: {forecast.total} events"))
    show_table(["type", "events", "erased", "handlers"], rows)
    if forecast.unknown:
        show(f"{forecast.unknown} more events are of types that this configuration does not know; they are left out")
