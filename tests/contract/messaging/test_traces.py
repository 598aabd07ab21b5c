"""Traces through router, runner and outbox, on a real database: what a batch, a retry and a derived event belong to."""

import logging
from collections.abc import Sequence
from uuid import UUID

import pytest
import structlog
from harness import World
from receiving import QUICK, Desk, Effects, login, message
from spans import Kept, facts, links, trace_of, traceparent, tree, words

from usercenter.db import Transaction
from usercenter.events import NotificationRequested, UserLoggedIn, derived_id, headers_of
from usercenter.messaging import outbox
from usercenter.messaging.batch import Received
from usercenter.messaging.groups import Context, Group, NotYet, outside, record
from usercenter.tracing import Tracing

ONE = f"00-{'1' * 32}-{'1' * 16}-01"
TWO = f"00-{'2' * 32}-{'2' * 16}-01"


@pytest.fixture
async def desk(world: World) -> Desk:
    desk = Desk(world)
    await desk.open()
    return desk


@pytest.fixture
def kept(desk: Desk) -> Kept:
    kept = Kept()
    desk.tracing = kept.tracing
    return kept


def received(event: UserLoggedIn, traceparent: str | None) -> Received:
    return message(event, headers=headers_of(event, traceparent=traceparent))


def of_logins(*handlers) -> Group:
    return Group("usercenter", "user_events", {UserLoggedIn: handlers})


async def ask(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """A handler as an extension may write it: it knows nothing of traces."""
    await outbox.add(tx, *(request(event, context) for event in events))


async def ask_late(event: UserLoggedIn, context: Context) -> None:
    """As `ask`, from a task."""
    async with context.service(World).database.transaction() as tx:
        await outbox.add(tx, request(event, context))


def request(event: UserLoggedIn, context: Context) -> NotificationRequested:
    return NotificationRequested(
        id=derived_id(event.id, "ask"),
        timestamp=context.clock.now(),
        user_id=event.user_id,
        causation_id=event.id,
        template="welcome",
        to="ada@example.com",
    )


async def traceparents(world: World) -> dict[UUID, str | None]:
    """By user: what the message in the outbox carries."""
    rows = await world.rows("select aggregateid, headers ->> 'traceparent' from outbox")
    return {UUID(user_id): traceparent for user_id, traceparent in rows}


async def test_a_batch_of_several_users_is_linked_with_each_and_what_follows_carries_the_trace_of_its_cause(
    world: World, desk: Desk, kept: Kept
) -> None:
    events = [login(), login(), login()]
    group = of_logins(record(ask))

    await desk.router(group).handle([received(*each) for each in zip(events, (ONE, TWO, None), strict=True)])

    assert tree(kept.spans()) == [("ask", "INTERNAL", "process user.events"), ("process user.events", "CONSUMER", "")]
    (batch,) = kept.named("process user.events")
    assert [(target, each["messaging.message.id"]) for target, each in links(batch)] == [
        (ONE, str(events[0].id)),
        (TWO, str(events[1].id)),
    ]
    assert facts(batch)["messaging.batch.message_count"] == 3
    assert facts(kept.named("ask")[0]) == {"usercenter.handler": "ask", "usercenter.events": 3}
    assert await traceparents(world) == {
        events[0].user_id: ONE,
        events[1].user_id: TWO,
        events[2].user_id: None,
    }


async def test_each_attempt_at_a_task_is_a_span_of_the_same_trace(desk: Desk, kept: Kept) -> None:
    effects, event, left = Effects(), login(), [ConnectionError("ada@example.com"), None]
    effects.fails = lambda *_: left.pop(0)
    group = of_logins(outside(effects.outside("send")))

    await desk.router(group).handle([received(event, ONE)])
    await desk.all_done(group)

    first, second = kept.named("send")
    for attempt in (first, second):
        assert trace_of(attempt) == "1" * 32
        assert attempt.parent is not None
        assert f"{attempt.parent.span_id:016x}" == "1" * 16
        assert links(attempt) == [(ONE, {})]
    assert first.context.span_id != second.context.span_id
    assert [facts(each)["usercenter.attempt"] for each in (first, second)] == [1, 2]
    assert [facts(each).get("error.type") for each in (first, second)] == ["ConnectionError", None]
    assert "ada" not in "".join(words(kept.spans()))


async def test_a_record_handler_that_fails_is_tried_again_in_the_trace_of_its_event(
    world: World, desk: Desk, kept: Kept
) -> None:
    effects, bad, good = Effects(), login(), login()
    left = [ValueError("bad")] * 3
    effects.fails = lambda _, event: left.pop() if left and event.id == bad.id else None
    group = of_logins(record(effects.record("write")))

    await desk.router(group).handle([received(bad, ONE), received(good, TWO)])
    await desk.all_done(group)

    (batch,) = kept.named("process user.events")
    assert "error.type" not in facts(batch)  # it went on without the one event
    in_batch = [span for span in kept.named("write") if trace_of(span) == trace_of(batch)]
    assert [facts(span).get("error.type") for span in in_batch] == ["ValueError", "ValueError", "ValueError", None]
    (retried,) = [span for span in kept.named("write") if trace_of(span) == "1" * 32]
    assert facts(retried)["usercenter.attempt"] == 2
    assert await world.count("effects") == 2


class Together:
    """A handler that takes many tasks at once, and what it raises the next times."""

    def __init__(self, tracing: Tracing) -> None:
        self.group = of_logins(outside(self.refresh, together=self.refresh_all))
        self.errors: list[Exception] = []
        self._tracing = tracing

    async def refresh(self, event: UserLoggedIn, context: Context) -> None:
        """One event, and a span inside of it."""
        self._tracing.span("ask the cache", "client").end()

    async def refresh_all(self, events: Sequence[UserLoggedIn], context: Context) -> None:
        """Many events, and one span inside of them."""
        self._tracing.span("ask the cache", "client").end()
        if self.errors:
            raise self.errors.pop()


async def test_a_task_that_is_done_in_a_set_has_a_span_in_its_own_trace_which_leads_to_the_set(
    desk: Desk, kept: Kept
) -> None:
    work, events = Together(kept.tracing), [login(), login(), login()]
    traced = [received(*each) for each in zip(events, (ONE, TWO, None), strict=True)]
    await desk.router(work.group).handle(traced)

    await desk.all_done_in_sets(work.group)

    (together,) = kept.named("refresh set")
    assert together.parent is None
    assert links(together) == [
        (ONE, {"messaging.message.id": str(events[0].id)}),
        (TWO, {"messaging.message.id": str(events[1].id)}),
    ]
    assert facts(together) == {"usercenter.handler": "refresh", "messaging.batch.message_count": 3}
    (inside,) = kept.named("ask the cache")
    assert inside.parent is not None
    assert inside.parent.span_id == together.context.span_id
    for number, cause, event in ((1, ONE, events[0]), (2, TWO, events[1])):
        (attempt,) = [span for span in kept.named("refresh") if trace_of(span) == str(number) * 32]
        assert links(attempt) == [(cause, {}), (traceparent(together), {})]
        assert facts(attempt)["messaging.message.id"] == str(event.id)
        assert attempt.parent is not None
        assert f"{attempt.parent.span_id:016x}" == str(number) * 16
    assert len(kept.named("refresh")) == 2


async def test_a_task_that_is_alone_in_its_set_is_an_attempt_as_any_other(desk: Desk, kept: Kept) -> None:
    work = Together(kept.tracing)
    await desk.router(work.group).handle([received(login(), ONE)])

    await desk.all_done_in_sets(work.group)

    assert tree(kept.of_trace("1" * 32)) == [
        ("ask the cache", "CLIENT", "refresh"),
        ("process user.events", "CONSUMER", "elsewhere"),
        ("refresh", "CONSUMER", "elsewhere"),
    ]
    assert kept.named("refresh set") == []


async def test_a_set_of_one_trace_belongs_to_it(desk: Desk, kept: Kept) -> None:
    work = Together(kept.tracing)
    await desk.router(work.group).handle([received(login(), ONE), received(login(), ONE)])

    await desk.all_done_in_sets(work.group)

    assert {trace_of(span) for span in kept.spans()} == {"1" * 32}
    assert len(kept.named("refresh set")) == 1
    assert len(kept.named("refresh")) == 2


async def test_when_a_set_fails_so_has_each_of_its_spans_and_each_task_has_one_of_its_own_after_it(
    desk: Desk, kept: Kept
) -> None:
    work = Together(kept.tracing)
    work.errors = [ConnectionError("ada@example.com")]
    await desk.router(work.group).handle([received(login(), ONE), received(login(), TWO)])

    await desk.all_done_in_sets(work.group)

    assert [facts(span).get("error.type") for span in kept.named("refresh set")] == ["ConnectionError"]
    for trace_id in ("1" * 32, "2" * 32):
        attempts = [span for span in kept.named("refresh") if trace_of(span) == trace_id]
        assert [facts(span).get("error.type") for span in attempts] == ["ConnectionError", None]
        assert [facts(span)["usercenter.attempt"] for span in attempts] == [1, 1]
    assert "ada" not in "".join(words(kept.spans()))


async def test_a_set_whose_time_has_not_come_has_not_failed(desk: Desk, kept: Kept) -> None:
    work = Together(kept.tracing)
    work.errors = [NotYet(0.01)]
    await desk.router(work.group).handle([received(login(), ONE), received(login(), TWO)])

    await desk.all_done_in_sets(work.group)

    assert len(kept.named("refresh set")) == 2
    assert [span for span in kept.spans() if "error.type" in facts(span)] == []


@pytest.mark.parametrize("is_traced", [True, False])
async def test_what_a_set_sends_carries_the_trace_of_each_cause_whether_we_trace_or_not(
    world: World, desk: Desk, is_traced: bool
) -> None:
    async def ask_for_all(events: Sequence[UserLoggedIn], context: Context) -> None:
        async with world.database.transaction() as tx:
            await ask(events, tx, context)

    if is_traced:
        desk.tracing = Kept().tracing
    group, events = of_logins(outside(ask_late, together=ask_for_all)), [login(), login(), login()]
    traced = [received(*each) for each in zip(events, (ONE, TWO, None), strict=True)]
    await desk.router(group).handle(traced)

    await desk.all_done_in_sets(group)

    carried = zip(events, (ONE, TWO, None), strict=True)
    assert await traceparents(world) == {event.user_id: traceparent for event, traceparent in carried}


@pytest.mark.parametrize("is_traced", [True, False])
async def test_what_a_task_sends_carries_the_trace_of_its_cause_whether_we_trace_or_not(
    world: World, desk: Desk, is_traced: bool
) -> None:
    if is_traced:
        desk.tracing = Kept().tracing
    desk.context.services[World] = world  # type: ignore[index]  # the desk's own mapping
    group, event = of_logins(outside(ask_late)), login()

    await desk.router(group).handle([received(event, ONE)])
    await desk.all_done(group)

    assert await traceparents(world) == {event.user_id: ONE}


async def test_the_log_tells_the_trace_beside_the_request(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    group = of_logins(outside(Effects().outside("send")))
    event = login(request_id="request-7")

    await desk.router(group).handle([received(event, ONE), received(login(), None)])
    await desk.all_done(group, schedule=QUICK)

    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    for name in ("kafka.message_handled", "tasks.done"):
        first, second = [line for line in lines if line["event"] == name]
        assert (first["trace_id"], first["request_id"]) == ("1" * 32, "request-7")
        assert "trace_id" not in second


async def test_what_a_handler_logs_in_a_batch_of_one_trace_has_its_id(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
        structlog.get_logger().warning("test.told", events=len(events))

    router = desk.router(of_logins(record(tell)))
    await router.handle([received(login(), ONE)])
    await router.handle([received(login(), ONE), received(login(), TWO)])

    lines = [line.msg for line in caplog.records if isinstance(line.msg, dict) and line.msg["event"] == "test.told"]
    assert [(line["events"], line.get("trace_id")) for line in lines] == [(1, "1" * 32), (2, None)]
