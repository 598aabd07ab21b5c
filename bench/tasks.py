"""The work in the outside world: 10,000 users with five tasks each, in 64 lanes, each user's own in order.

The product's task runner as `messaging/post.py` starts it. The failing users fail at every attempt; how fast the
healthy ones are served is compared with a run in which nobody fails. The clock runs from the first call of the handler
until the last healthy task is struck off.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from bench import errands
from bench.counting import counted, until
from bench.ground import Ground
from bench.measure import Figure, Goal, Measure, Run, WorkNotDone
from bench.reactions import at_work
from bench.traffic import logins
from usercenter.events import UserLoggedIn
from usercenter.messaging import tasks
from usercenter.messaging.groups import Context, Group, outside

_TASKS_OF_A_USER: Final = 5
_ONE_IN: Final = 100
_HANDLER: Final = "call_the_world"
_AT_ONCE: Final = 5_000
_SECONDS: Final = 0.005


def _contender(*, seconds: float, has_failures: bool) -> Run:
    async def run(ground: Ground, number: int) -> dict[str, float]:
        events = logins(number, each=_TASKS_OF_A_USER)
        users = sorted({event.user_id for event in events})
        failing = frozenset(users[::_ONE_IN]) if has_failures else frozenset()
        calls = _Calls(failing, seconds=seconds)
        await _fill(ground, events)
        healthy = number - len(failing) * _TASKS_OF_A_USER
        group = Group(ground.config.kafka.group_id, "user_events", {UserLoggedIn: (calls.handler,)})
        async with at_work(ground, [group], has_relay=False) as post:
            labels = {"handler": _HANDLER, "outcome": "done"}
            await until(post.metrics.handled, labels, healthy)
            took = time.perf_counter() - calls.began
        await _prove(ground, calls, events, post.metrics.handled, labels)
        return {"healthy tasks/s": healthy / took}

    return run


class _Calls:
    """The outside handler, and what it was called with."""

    def __init__(self, failing: Collection[UUID], *, seconds: float) -> None:
        self.began = 0.0
        self.done: dict[UUID, list[int | None]] = {}
        self.failing = failing

        async def call_the_world(event: UserLoggedIn, context: Context) -> None:
            del context
            self.began = self.began or time.perf_counter()
            if seconds:
                await asyncio.sleep(seconds)
            if event.user_id in failing:
                raise RuntimeError("this user's receiver is broken")
            self.done.setdefault(event.user_id, []).append(event.sequence)

        self.handler = outside(call_the_world)


async def _fill(ground: Ground, events: list[UserLoggedIn]) -> None:
    group, topic = ground.config.kafka.group_id, ground.config.kafka.topics.user_events
    for start in range(0, len(events), _AT_ONCE):
        async with ground.database.transaction() as tx:
            some = events[start : start + _AT_ONCE]
            await tasks.add(tx, [errands.task(event, _HANDLER, topic=topic, group=group, headers={}) for event in some])
    await ground.settle()


async def _prove(
    ground: Ground, calls: _Calls, events: list[UserLoggedIn], handled: Any, labels: dict[str, str]
) -> None:
    """Each healthy task once and in order, and those of the failing users still there."""
    wanted = {event.user_id for event in events} - set(calls.failing)
    in_order = list(range(1, _TASKS_OF_A_USER + 1))
    if calls.done != dict.fromkeys(wanted, in_order):
        raise WorkNotDone("not every healthy task was done once and in order")
    left = await ground.count("tasks")
    if left != len(calls.failing) * _TASKS_OF_A_USER:
        raise WorkNotDone(f"{left} tasks are left; {counted(handled, labels)} were counted as done")


_PLAIN, _SLOW = "no-op handler", "5 ms handler"
_PLAIN_FAILING, _SLOW_FAILING = "no-op handler, 1 % of the users fail", "5 ms handler, 1 % of the users fail"
_FIGURE: Final = "healthy tasks/s"

MEASURE: Final = Measure(
    name="tasks",
    work="tasks of many users → handler called, task struck off; the product alone",
    events=50_000,
    figures=(Figure(name=_FIGURE, unit="tasks/s"),),
    contenders={
        _PLAIN: _contender(seconds=0, has_failures=False),
        _SLOW: _contender(seconds=_SECONDS, has_failures=False),
        _PLAIN_FAILING: _contender(seconds=0, has_failures=True),
        _SLOW_FAILING: _contender(seconds=_SECONDS, has_failures=True),
    },
    goals=(
        Goal(words="≥ 20 k/s no-op", figure=_FIGURE, at_least=20_000),
        Goal(words="≥ 8 k/s with 5 ms", figure=_FIGURE, contender=_SLOW, at_least=8_000),
        Goal(
            words="healthy users keep ≥ 0.95 of their rate (no-op)",
            figure=_FIGURE,
            contender=_PLAIN_FAILING,
            against=_PLAIN,
            at_least=0.95,
        ),
        Goal(
            words="healthy users keep ≥ 0.95 of their rate (5 ms)",
            figure=_FIGURE,
            contender=_SLOW_FAILING,
            against=_SLOW,
            at_least=0.95,
        ),
    ),
)
