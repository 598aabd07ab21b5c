"""Thousands of schedules of writes, crashes and outages: in the end nothing is lost, doubled or out of order.

What runs is the service's own relay, leases, router, task runner and sets; tables, broker and time are in memory, so a
schedule takes milliseconds and can be run again. `SCHEDULES=5000 make test ARGS=tests/simulation` tries more of them.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from simulation.bugs import BUGS
from simulation.loop import VirtualLoop
from simulation.system import USERS, System

SCHEDULES = int(os.environ.get("SCHEDULES", "150"))
ENOUGH_TO_FIND_A_BUG = 2_000

users = st.sampled_from(USERS[:3])
members = st.integers(0, 2)


class Schedule(RuleBasedStateMachine):
    """What may happen to the system, in any order."""

    plant: Callable[[System], None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.pending: list[Any] = []

    @initialize(seed=st.integers(0, 2**32 - 1), processes=st.integers(1, 3))
    def begin(self, seed: int, processes: int) -> None:
        self.system = System(self.loop, seed=seed)
        if self.plant is not None:
            type(self).plant(self.system)
        for _ in range(processes):
            self.within(self.system.start)

    @rule(user=users, number=st.integers(1, 4))
    def change(self, user: Any, number: int) -> None:
        self.run(self.system.write(user, number=number))

    @rule(user=users, milliseconds=st.integers(50, 1500))
    def change_and_commit_late(self, user: Any, milliseconds: int) -> None:
        self.pending.append(self.loop.create_task(self.system.write(user, seconds=milliseconds / 1000)))

    @rule(milliseconds=st.integers(1, 1000))
    def time_passes(self, milliseconds: int) -> None:
        self.passes(milliseconds / 1000)

    @precondition(lambda self: len(self.system.processes) < 3)
    @rule()
    def start_a_process(self) -> None:
        self.within(self.system.start)

    @precondition(lambda self: self.system.processes)
    @rule(member=members)
    def kill_a_process(self, member: int) -> None:
        self.run(self.system.kill(self.of(member)))

    @precondition(lambda self: self.system.processes)
    @rule(member=members)
    def freeze_a_process(self, member: int) -> None:
        self.of(member).freeze()

    @precondition(lambda self: self.system.processes)
    @rule(member=members)
    def thaw_a_process(self, member: int) -> None:
        self.of(member).thaw()

    @rule()
    def rebalance(self) -> None:
        self.within(self.system.rebalance)

    @rule(is_down=st.booleans())
    def broker_goes_or_comes(self, is_down: bool) -> None:
        self.system.broker.is_down = is_down

    @rule(number=st.integers(1, 4))
    def broker_loses_answers(self, number: int) -> None:
        self.system.broker.lost_answers = number

    @rule(number=st.integers(1, 4))
    def broker_refuses_messages(self, number: int) -> None:
        self.system.broker.refusals = number

    @rule(is_down=st.booleans())
    def database_goes_or_comes(self, is_down: bool) -> None:
        self.system.is_database_down = is_down

    @rule(number=st.integers(1, 4))
    def commits_get_lost(self, number: int) -> None:
        self.system.lost_commits = number

    @rule(handler=st.sampled_from(["settle", "tell", "inform"]), number=st.integers(1, 8))
    def a_handler_fails(self, handler: str, number: int) -> None:
        self.system.failures[handler] = number

    def teardown(self) -> None:
        try:
            if hasattr(self, "system"):
                self.run(self.the_end())
        finally:
            self.loop.close()

    async def the_end(self) -> None:
        for each in self.pending:
            await each
        try:
            await self.system.drain()
            self.system.check()
        finally:
            for process in list(self.system.processes):
                await self.system.kill(process)

    def of(self, member: int) -> Any:
        return self.system.processes[member % len(self.system.processes)]

    def run(self, work: Any) -> None:
        self.loop.run_until_complete(work)

    def within(self, act: Callable[[], None]) -> None:
        async def acting() -> None:
            act()

        self.run(acting())

    def passes(self, seconds: float) -> None:
        self.loop.run_until_complete(_waiting(self.loop, seconds))


async def _waiting(loop: VirtualLoop, seconds: float) -> None:
    done = loop.create_future()
    loop.call_later(seconds, done.set_result, None)
    await done


def try_schedules(plant: Callable[[System], None] | None, *, number: int) -> None:
    machine = type("Schedule", (Schedule,), {"plant": staticmethod(plant) if plant else None})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_schedule_loses_doubles_or_reorders_anything():
    try_schedules(None, number=SCHEDULES)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug):
    with pytest.raises(AssertionError, match=r"lost|doubled|order|nothing happens"):
        try_schedules(BUGS[bug], number=ENOUGH_TO_FIND_A_BUG)
