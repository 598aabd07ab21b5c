"""Replay: handlers run again for events of event_log, once each, in order, whatever happens on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import redis.asyncio as redis
from harness import World, eventually
from receiving import QUICK, REGISTRY, Desk, Effects, Trouble, login

from usercenter.events import EVENTS, Registry, UserLoggedIn, new_id
from usercenter.handlers import groups
from usercenter.messaging import outbox
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.groups import Context, Group, PermanentFailure, Schedule, outside, record
from usercenter.messaging.operations import replay_plan, replays
from usercenter.messaging.operations.replay import Replaying
from usercenter.messaging.operations.replay_plan import ReplayRefused, Wish
from usercenter.messaging.operations.replays import Replay, ReplayBusy
from usercenter.messaging.operations.verify import missing, verify
from usercenter.metrics import Metrics
from usercenter.users.cache import UserCache


class Bench:
    """A group of counting handlers, a log of events, and replays of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world)
        self.effects = Effects()
        self.events: list[UserLoggedIn] = []
        self.group = Group(
            "g",
            "user_events",
            {
                UserLoggedIn: (
                    record(self.effects.record("count"), replay="repeatable"),
                    outside(self.effects.outside("call")),
                    record(self.effects.record("other"), replay="repeatable"),
                )
            },
        )

    async def log(self, *events: Any) -> None:
        """Have these in event_log and nowhere else."""
        async with self.world.database.transaction() as tx:
            await outbox.add(tx, *events)
            await tx.execute("delete from outbox")
        self.events += events

    async def begin(self, *handlers: str, rate: int | None = None, **wish: Any) -> UUID:
        async with self.world.database.transaction() as tx:
            asked = Wish(handlers=list(handlers), **wish)
            group = replay_plan.group_of(asked, [self.group])
            return await replay_plan.begin(tx, asked, group, by="test", reason=None, rate=rate)

    def at(self, id_: UUID, **options: Any) -> Replaying:
        return Replaying(
            id_,
            database=self.desk.database,
            groups=[self.group],
            registry=REGISTRY,
            context=self.desk.context,
            topics=topics_by_stream(self.world.config.kafka),
            schedule=QUICK,
            **options,
        )

    async def now(self, id_: UUID) -> Replay:
        async with self.world.database.transaction() as tx:
            return await replays.find(tx, id_)

    async def set(self, change: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        async with self.world.database.transaction() as tx:
            return await change(tx, *arguments, **options)


@pytest.fixture
async def cache(world: World) -> AsyncIterator[UserCache]:
    async with redis.from_url(world.config.cache.url) as client:
        yield UserCache(client, ttl_seconds=60, metrics=Metrics())


@pytest.fixture
async def bench(world: World) -> Bench:
    bench = Bench(world)
    await bench.desk.open()
    return bench


def logins(number: int, user: UUID | None = None) -> Sequence[UserLoggedIn]:
    user = user or new_id()
    return [login(user, sequence=sequence) for sequence in range(1, number + 1)]


async def test_only_the_named_handlers_run_again_and_each_event_once_in_order(bench: Bench) -> None:
    await bench.log(*logins(1_200))

    replay = await bench.at(await bench.begin("count")).run()

    assert await bench.desk.effects("count") == [event.id for event in bench.events]
    assert await bench.desk.effects("other") == []
    assert bench.effects.sizes == [500, 500, 200]
    assert (replay.state, replay.total, replay.done, replay.failed) == ("done", 1_200, 1_200, 0)
    assert await bench.world.count("replay_events") == 0


async def test_a_user_is_replayed_by_sequence_even_if_the_clock_was_set_back(bench: Bench) -> None:
    await bench.log(*logins(3))
    await bench.world.rows(
        "update event_log set created_at = created_at - interval '1 h' where sequence = 2 returning 1"
    )

    await bench.at(await bench.begin("count")).run()

    assert await bench.desk.effects("count") == [event.id for event in bench.events]


async def test_it_takes_the_time_and_the_user_that_were_asked_for(bench: Bench) -> None:
    early, late, other = login(sequence=1), login(sequence=1), login(sequence=1)
    await bench.log(early, late, other)
    await bench.world.rows("update event_log set created_at = '2026-01-01Z' where id = %s returning 1", early.id)

    limit = datetime(2026, 6, 1, tzinfo=UTC)
    await bench.at(await bench.begin("count", until=limit)).run()
    assert await bench.desk.effects("count") == [early.id]

    await bench.at(await bench.begin("count", since=limit, user_id=late.user_id)).run()
    assert await bench.desk.effects("count") == [early.id, late.id]


async def test_outside_handlers_get_tasks_under_the_events_id(bench: Bench) -> None:
    await bench.log(*logins(3))

    await bench.at(await bench.begin("call", once_too=["call"])).run()
    assert await bench.world.count("tasks") == 3
    await bench.desk.all_done(bench.group)

    assert bench.effects.called(*bench.events) == [event.id for event in bench.events]


async def test_a_handler_that_is_once_is_refused_unless_it_is_named_again(bench: Bench) -> None:
    with pytest.raises(ReplayRefused, match="name it again: --once-too call"):
        await bench.begin("count", "call")


async def test_a_handler_that_nobody_has_is_refused(bench: Bench) -> None:
    with pytest.raises(ReplayRefused, match="There are: call, count, other"):
        await bench.begin("cuont")


def test_no_handler_that_mails_calls_or_adds_up_is_declared_repeatable(world: World) -> None:
    declared = {each.name: each.replay for group in groups(world.config.kafka) for each in group.all_handlers()}
    assert {name for name, replay in declared.items() if replay == "repeatable"} == {
        "create_settings",
        "write_login_log",
        "remember_last_login",
        "write_security_log",
        "purge_personal_data",
        "refresh_cache",
    }


async def test_an_event_that_fails_is_parked_and_later_ones_of_its_user_queue_behind_it(bench: Bench) -> None:
    ada, eve = logins(2), logins(1)
    await bench.log(*ada, *eve)
    bench.effects.fails = lambda name, event: ValueError("broke") if event.id == ada[0].id else None

    replay = await bench.at(await bench.begin("count")).run()

    assert (replay.done, replay.failed) == (2, 1)
    assert await bench.desk.effects("count") == [eve[0].id]
    assert await bench.world.rows("select event_id, last_error from tasks order by position") == [
        (ada[0].id, "ValueError: broke"),
        (ada[1].id, None),
    ]
    bench.effects.fails = lambda name, event: None
    await bench.desk.all_done(bench.group)
    assert await bench.desk.effects("count", *ada) == [event.id for event in ada]


async def test_an_event_that_can_never_pass_is_a_dead_letter(bench: Bench) -> None:
    await bench.log(*logins(2))
    first = bench.events[0].id
    bench.effects.fails = lambda name, event: PermanentFailure("never") if event.id == first else None

    await bench.at(await bench.begin("count")).run()

    assert await bench.world.rows("select event_id, handler from dead_letters") == [(first, "count")]
    assert await bench.desk.effects("count") == [bench.events[1].id]


async def test_events_of_erased_users_stay_without_effect(bench: Bench) -> None:
    await bench.log(*logins(2), *logins(1))
    erased = bench.events[0].user_id
    async with bench.world.database.transaction() as tx:
        await tx.execute(
            "insert into erasures (user_id, event_id, deleted_by, purged_at) values (%s, %s, 'x', now())",
            (erased, new_id()),
        )
        await tx.execute(
            "update event_log set payload = json_build_object('id', id, 'type', type, 'erased', true) "
            "where user_id = %s and sequence = 1",
            (erased,),
        )

    replay = await bench.at(await bench.begin("count")).run()

    assert (replay.done, replay.skipped) == (1, 2)
    assert await bench.desk.effects("count") == [bench.events[2].id]


async def test_the_forecast_counts_by_type_and_names_what_has_no_effect(bench: Bench, world: World) -> None:
    await bench.log(*logins(2))
    await bench.world.rows("insert into event_log values (%s, 1, %s, 'old.type', '{}') returning 1", new_id(), new_id())

    async with world.database.transaction() as tx:
        forecast = await replay_plan.forecast(tx, Wish(handlers=["count"]), bench.group, REGISTRY)

    assert [(each.type, each.events, each.erased, each.handlers) for each in forecast.lines] == [
        ("user.logged_in", 2, 0, ["count"])
    ]
    assert (forecast.total, forecast.unknown) == (2, 1)
    assert await world.count("operations") == 0


async def test_paused_it_stops_after_the_batch_in_hand_and_resumed_it_goes_on_there(bench: Bench) -> None:
    await bench.log(*logins(30))
    id_ = await bench.begin("count", rate=10)

    async def pause_it(seconds: float) -> None:
        await bench.set(replays.pause, id_)

    replay = await bench.at(id_, pause=pause_it).run()
    assert (replay.state, replay.position) == ("paused", 10)

    replay = await bench.at(id_, pause=_none).run()
    assert (replay.state, replay.done) == ("done", 30)
    assert await bench.desk.effects("count") == [event.id for event in bench.events]


async def test_the_rate_is_kept(bench: Bench) -> None:
    await bench.log(*logins(30))
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    await bench.at(await bench.begin("count", rate=10), pause=note, now=lambda: 0.0).run()

    assert waits == [1.0, 1.0, 1.0]


async def test_a_second_process_is_refused_and_takes_over_from_one_that_was_killed(bench: Bench) -> None:
    await bench.log(*logins(30))
    id_ = await bench.begin("count", rate=10)
    killed = new_id()
    await bench.set(replays.take, id_, owner=killed)

    with pytest.raises(ReplayBusy, match="another process"):
        await bench.at(id_).run()

    await bench.world.rows("update replays set beat_at = now() - interval '1 minute' returning 1")
    replay = await bench.at(id_, pause=_none).run()
    assert replay.done == 30
    assert await bench.desk.effects("count") == [event.id for event in bench.events]
    assert await bench.set(replays.still_mine, id_, owner=killed) is None


async def test_one_that_was_taken_over_while_it_was_frozen_does_nothing_more(bench: Bench) -> None:
    await bench.log(*logins(30))
    id_ = await bench.begin("count", rate=10)

    async def be_frozen(seconds: float) -> None:
        await bench.world.rows("update replays set beat_at = now() - interval '1 minute' returning 1")
        await bench.set(replays.take, id_, owner=new_id())

    replay = await bench.at(id_, pause=be_frozen).run()

    assert (replay.state, replay.position) == ("running", 10)


async def test_killed_between_effects_and_commit_it_does_each_event_once(bench: Bench) -> None:
    await bench.log(*logins(1_000))
    bench.desk = bench.desk.with_trouble(Trouble(lambda step: step in {100, 400, 1_300, 2_000}))
    id_ = await bench.begin("count")

    await bench.at(id_, pause=_none).run()

    assert sorted(await bench.desk.effects("count")) == sorted(event.id for event in bench.events)


async def test_missing_events_are_done_once_and_then_the_books_balance(world: World) -> None:
    config, every = world.config, groups(world.config.kafka)
    async with world.service() as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"))
        await eventually(lambda: world.count("inbox"), lambda n: n == 4, what="the registration in every inbox")
    async with world.service(roles=["api"]) as (_, client):
        await client.post("/api/v1/users/login", json={"username": "ada", "password": "password123"})
    async with world.database.transaction() as tx:
        await tx.execute("delete from outbox where type = 'user.logged_in'")  # as if Kafka had lost it
    desk, registry = Desk(world), Registry(EVENTS)

    ids = []
    for group in every[:2]:
        async with missing(config, database=world.database, group=group, registry=registry) as tx:
            forecast = await replay_plan.forecast_missing(tx, group)
            ids.append(await replay_plan.begin_missing(tx, group, by="test", reason=None, rate=None))
        assert [(each.type, each.events) for each in forecast.lines] == [("user.logged_in", 1)]
    for id_ in ids:
        replay = await Replaying(
            id_,
            database=world.database,
            groups=every,
            registry=registry,
            context=desk.context,
            topics=topics_by_stream(config.kafka),
            schedule=QUICK,
        ).run()
        assert (replay.done, replay.skipped) == (1, 0)

    report = await verify(config, database=world.database, groups=every, registry=registry)
    assert [each.what for each in report.findings] == []
    assert await world.count("login_log") == 1


async def _none(seconds: float) -> None:
    del seconds


async def test_the_command_says_what_it_would_do_and_does_it_with_yes(world: World) -> None:
    async with world.service() as (_, client):
        await client.post("/api/v1/users/register", json=world.registration("ada"))
        await eventually(lambda: world.count("user_settings"), what="the settings")
    await world.rows("delete from user_settings returning 1")

    status, said = await world.command("replay", "--handler", "create_settings", "--from", "1h")
    assert (status, await world.count("user_settings")) == (0, 0)
    assert "user.registered  1       0       create_settings" in said
    assert "nothing was done; with --yes it begins" in said

    status, said = await world.command("replay", "--handler", "create_settings", "--yes")
    assert (status, await world.count("user_settings")) == (0, 1), said
    assert "done: 1 done, 0 failed, 0 skipped of 1" in said

    status, said = await world.command("replay", "status")
    assert "create_settings" in said
    status, said = await world.command("replay", "--handler", "ask_for_welcome_mail", "--yes")
    assert status == 2
    assert "name it again: --once-too ask_for_welcome_mail" in said


def takes_sets(bench: Bench, **options: Any) -> list[list[UUID]]:
    """The group has one handler, which takes sets; returns the sets that it has done, to come."""
    sets: list[list[UUID]] = []

    async def gather(events: Sequence[Any], context: Context) -> None:
        for event in events:
            await bench.effects.outside("call")(event, context)
        sets.append([event.id for event in events])

    handler: Any = outside(bench.effects.outside("call"), together=gather, replay="repeatable", **options)
    bench.group = Group("g", "user_events", {UserLoggedIn: (handler,)})
    return sets


async def test_a_handler_that_takes_sets_gets_each_event_once_and_each_users_in_order(bench: Bench) -> None:
    sets, users = takes_sets(bench), [logins(200) for _ in range(6)]
    for of_a_moment in zip(*users, strict=True):
        await bench.log(*of_a_moment)

    replay = await bench.at(await bench.begin("call")).run()
    await bench.desk.all_done_in_sets(bench.group)

    assert (replay.done, replay.failed, replay.skipped) == (1_200, 0, 0)
    assert [len(each) for each in sets] == [500, 500, 200]
    for of_a_user in users:
        assert bench.effects.called(*of_a_user) == [event.id for event in of_a_user]


async def test_of_a_replayed_set_one_that_fails_is_parked_with_its_lane_and_all_others_are_done(bench: Bench) -> None:
    sets, ada, eve = takes_sets(bench, retry=Schedule(first_seconds=3_600)), logins(3), logins(2)
    await bench.log(*ada, *eve)
    bench.effects.fails = lambda name, event: OSError("away") if event.id == ada[1].id else None

    replay = await bench.at(await bench.begin("call")).run()
    async with bench.desk.doing_sets(bench.group):
        await bench.desk.eventually_tasks(2)

    assert (replay.done, sets) == (5, [])
    assert bench.effects.called(*eve)[-2:] == [event.id for event in eve]
    assert await bench.world.rows("select event_id, last_error from tasks order by position") == [
        (ada[1].id, "OSError: away"),
        (ada[2].id, None),
    ]


async def test_a_replay_leaves_no_task_to_a_handler_that_takes_sets_and_has_nothing_to_do(bench: Bench) -> None:
    takes_sets(bench, only_if=lambda context: False)
    await bench.log(*logins(3))

    await bench.at(await bench.begin("call")).run()

    assert await bench.world.count("tasks") == 0


async def test_a_replay_of_refresh_cache_gives_the_cache_what_postgresql_has_now_and_nobody_who_is_gone(
    world: World, cache: UserCache
) -> None:
    async with world.service() as (service, client):
        await eventually(service.is_reading, what="the consumers")
        ids = []
        for name in ("ada", "eve"):
            person = world.registration(name)
            answer = (await client.post("/api/v1/users/register", json=person)).json()
            headers = {"Authorization": f"Bearer {answer['token']}"}
            await client.patch("/api/v1/users/me", json={"first_name": name}, headers=headers)
            ids.append(UUID(answer["user"]["id"]))
        ada, eve = ids
        gone = await client.request(
            "DELETE", "/api/v1/users/me", json={"password": person["password"]}, headers=headers
        )
        assert gone.status_code == 204
        await eventually(lambda: cache.sequence_of(ada), what="ada's copy")
        await eventually(lambda: cache.sequence_of(eve), lambda sequence: sequence == 3, what="that eve is gone")
        await eventually(lambda: world.count("tasks"), lambda n: n == 0, what="the last task")
        async with redis.from_url(world.config.cache.url) as valkey:
            assert await valkey.delete(*[f"usercenter:user:{id_}" for id_ in ids]) == 2

        status, said = await world.command("replay", "--handler", "refresh_cache", "--yes")
        assert status == 0, said
        assert await eventually(lambda: cache.sequence_of(ada), what="ada's copy") == 2
        await eventually(lambda: world.count("tasks"), lambda n: n == 0, what="the last task")

    assert "done: 1 done, 0 failed, " in said
    assert await cache.sequence_of(eve) is None
