"""The post of one process: relay, consumers and task runner, opened when Kafka is there and closed in order.

Opening waits for the broker (topics are made where they are missing, and every group gets its start before anything is
sent), in the background: nothing that serves people waits for it.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Final

import confluent_kafka
import structlog

from usercenter.config.model import Config
from usercenter.db import Database, is_transient
from usercenter.events import Registry
from usercenter.messaging import offsets, topics
from usercenter.messaging.client import topics_by_stream
from usercenter.messaging.consumer import Consumer
from usercenter.messaging.equipment import Equipment
from usercenter.messaging.groups import Context, Group, Schedule, handlers_by_name, in_sets
from usercenter.messaging.leases import Leases
from usercenter.messaging.open_breakers import OpenBreaker
from usercenter.messaging.producer import Producer
from usercenter.messaging.relay import Relay
from usercenter.messaging.router import Router
from usercenter.messaging.runner import Runner
from usercenter.messaging.sets import Sets
from usercenter.messaging.troubles import Troubles
from usercenter.metrics import Metrics
from usercenter.supervision import Loops
from usercenter.tracing import UNTRACED, Tracing

log = structlog.get_logger()

_FIRST_RETRY_SECONDS: Final = 0.1
_LONGEST_RETRY_SECONDS: Final = 1.0
_OPENING: Final = "opening topics and groups"


class Post:
    """What moves messages in this process; which parts it has, its roles say."""

    def __init__(
        self,
        config: Config,
        *,
        groups: Sequence[Group],
        registry: Registry,
        database: Database,
        context: Context,
        metrics: Metrics,
        has_relay: bool,
        has_worker: bool,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._config = config
        self._groups = groups
        self._registry = registry
        self._database = database
        self._context = context
        self._metrics = metrics
        self._tracing = tracing
        self._has_relay = has_relay
        self._has_worker = has_worker
        self._topics = topics_by_stream(config.kafka)
        self._loops = Loops()
        self._opening = Troubles(context.clock, doing="send", calm_seconds=0)
        self._relay: Relay | None = None
        self._runner: Runner | None = None
        self._sets: Sets | None = None
        self._consumers: list[Consumer] = []
        self._leases: list[Leases] = []

    def start(self) -> None:
        """Begin; returns at once. The task runner needs no Kafka and works from now on."""
        if self._has_worker:
            self._start_runner()
        if self._has_relay or self._has_worker:
            self._loops.keep("opening", self._open)

    def problems(self) -> list[str]:
        """What keeps this process from moving messages, Kafka's plain absence aside."""
        stuck = [f"group {each.group}: {each.problem}" for each in self._consumers if each.problem]
        stopped = [
            *(self._runner.problems() if self._runner else ()),
            *(self._sets.holds.problems() if self._sets else ()),
        ]
        return [*self._loops.problems(), *stuck, *stopped]

    def troubles(self) -> list[str]:
        """What keeps messages from being sent: events wait, and people are served meanwhile."""
        sending = self._relay.troubles.current() if self._relay else []
        return [
            *(f"{each.place}: {each}" for each in self._opening.current()),
            *(f"sending to {each.place}: {each}" for each in sending),
        ]

    def notes(self) -> list[str]:
        """What an operator may want to know, and what keeps nothing from working."""
        return [*(self._runner.notes() if self._runner else ()), *(self._sets.holds.notes() if self._sets else ())]

    def open_breakers(self) -> list[OpenBreaker]:
        """The handlers that this process leaves alone, because their other side fails."""
        sets = self._sets.holds.open_breakers() if self._sets else []
        return [*(self._runner.open_breakers() if self._runner else ()), *sets]

    def is_reading(self) -> bool:
        """Whether every group has a consumer here that was given its partitions."""
        return len(self._consumers) == len(self._groups) and all(each.is_assigned for each in self._consumers)

    async def close(self, *, timeout_seconds: float) -> None:
        """No new work; finish what is in hand, store offsets, flush, give back the leases. May be called twice.

        Ends in about that time whatever is away, a few seconds for each try at PostgreSQL aside; what could not be
        finished is found in the tables and done later.
        """
        now = asyncio.get_running_loop().time
        end = now() + timeout_seconds
        await self._loops.cancel("opening")
        await asyncio.gather(*(consumer.stop(timeout_seconds=timeout_seconds / 2) for consumer in self._consumers))
        await self._loops.cancel("tasks")
        await self._loops.cancel("tasks.sets")
        workers = [each for each in (self._runner, self._sets) if each is not None]
        left_seconds = max(1.0, end - now())
        await asyncio.gather(*(_to_the_end(each.close(timeout_seconds=left_seconds)) for each in workers))
        await self._loops.cancel("relay")
        if self._relay:
            await _to_the_end(self._relay.close(timeout_seconds=max(1.0, end - now())))
        await asyncio.gather(*(self._release(leases) for leases in self._leases))

    async def _open(self) -> None:
        """Called again when it failed: what was opened then stays."""
        await self._prepare()
        if self._has_relay and self._relay is None:
            self._start_relay()
        if self._has_worker:
            for group in self._groups[len(self._consumers) :]:
                self._start_consumer(group)

    async def _prepare(self) -> None:
        """Topics and the groups' starts; again and again until it is done."""
        pause_seconds = _FIRST_RETRY_SECONDS  # short: a topic just made has no leader for a moment
        while True:
            try:
                await asyncio.to_thread(topics.create_missing, self._config.kafka)
                for group in self._groups:
                    topic = self._topics[group.stream]
                    await offsets.pin_start(self._database, self._config.kafka, group=group.name, topic=topic)
            except confluent_kafka.KafkaException as error:
                if trouble := self._opening.met(_OPENING, error.args[0]):
                    log.warning("kafka.not_ready", **trouble.facts())
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("kafka.not_ready", error=str(error), next="tried again when PostgreSQL is there")
            else:
                self._tell_opened()
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(_LONGEST_RETRY_SECONDS, pause_seconds * 2)

    def _tell_opened(self) -> None:
        self._opening.went_well(_OPENING)
        for trouble, seconds in self._opening.ended():
            log.info("kafka.ready", error=trouble.error, lasted_seconds=seconds)

    def _start_relay(self) -> None:
        leases = self._leases_of("relay", self._config.relay.lease_seconds)
        self._relay = Relay(
            self._config,
            database=self._database,
            leases=leases,
            topics=self._topics,
            clock=self._context.clock,
            metrics=self._metrics,
            tracing=self._tracing,
            make_producer=partial(Producer, metrics=self._metrics),
        )
        self._keep(leases)
        self._loops.keep("relay", self._relay.run)

    def _start_consumer(self, group: Group) -> None:
        router = Router(
            group,
            registry=self._registry,
            database=self._database,
            context=self._context,
            config=self._config,
            schedule=self._schedule,
            metrics=self._metrics,
            tracing=self._tracing,
        )
        consumer = Consumer(
            self._config.kafka,
            group=group.name,
            topic=self._topics[group.stream],
            handle=router.handle,
            metrics=self._metrics,
            clock=self._context.clock,
        )
        self._consumers.append(consumer)
        consumer.start()

    def _start_runner(self) -> None:
        leases = self._leases_of("tasks", self._config.tasks.lease_seconds)
        handlers = handlers_by_name(self._groups)
        together = in_sets(handlers)
        equipment = Equipment(
            config=self._config,
            registry=self._registry,
            database=self._database,
            leases=leases,
            context=self._context,
            streams={topic: stream for stream, topic in self._topics.items()},
            schedule=self._schedule,
            metrics=self._metrics,
            tracing=self._tracing,
        )
        alone = {name: each for name, each in handlers.items() if name not in together}
        self._runner = Runner(equipment, handlers=alone)
        self._sets = Sets(equipment, handlers=together)
        self._keep(leases)
        self._loops.keep("tasks", self._runner.run)
        if together:
            self._loops.keep("tasks.sets", self._sets.run)

    def _leases_of(self, kind: str, seconds: float) -> Leases:
        return Leases(
            kind,
            database=self._database,
            clock=self._context.clock,
            metrics=self._metrics,
            lease_seconds=seconds,
        )

    def _keep(self, leases: Leases) -> None:
        """Only once there is somebody to do the work: a share that nobody works on is taken from all others."""
        self._leases.append(leases)
        self._loops.keep(f"leases.{leases.kind}", leases.keep)

    async def _release(self, leases: Leases) -> None:
        await self._loops.cancel(f"leases.{leases.kind}")
        await _to_the_end(leases.release())

    @property
    def _schedule(self) -> Schedule:
        settings = self._config.tasks
        return Schedule(
            attempts=settings.attempts,
            first_seconds=settings.first_retry_ms / 1000,
            longest_seconds=settings.longest_retry_seconds,
        )


async def _to_the_end(step: Awaitable[None]) -> None:
    """One step of closing; its failure is told and keeps none of the others from being done."""
    try:
        await step
    except Exception as error:  # a process that ends has no later moment for what is left to close
        if is_transient(error):
            log.warning("post.closed_without_database", error=str(error), next="others find the work when it is back")
        else:
            log.error("post.close_failed", exc_info=error)
