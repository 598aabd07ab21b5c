"""The producer: bytes to Kafka, acknowledged by all in-sync replicas.

`Producer.produce` and one thread that polls; not `produce_batch` (drops headers) and not `AIOProducer` (refuses them).
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import confluent_kafka
import structlog

from usercenter.config.model import Kafka
from usercenter.messaging.client import client_logger, client_settings
from usercenter.messaging.statistics import Statistics
from usercenter.metrics import Metrics

log = structlog.get_logger()

Receipt = tuple[Any, confluent_kafka.KafkaError | None, int | None, int | None]
"""The token given to `send`, the error or None, and where the message lies: partition and offset."""

_MANY: Final = 100
_GATHER_SECONDS: Final = 0.002
"""With more than so many on their way, receipts are gathered for so long: what follows them goes to the broker in
batches then, and the two threads seldom wait for each other. A thousand messages a second know nothing of it."""

_OF_BATCHES = frozenset({confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE, confluent_kafka.KafkaError.INVALID_RECORD})
_PERMANENT = _OF_BATCHES | {confluent_kafka.KafkaError._INVALID_ARG}  # noqa: SLF001  # the library's public constant


def is_permanent(error: confluent_kafka.KafkaError) -> bool:
    """Whether the message itself can never be sent; everything else may pass later."""
    return error.code() in _PERMANENT


def is_fatal(error: confluent_kafka.KafkaError) -> bool:
    """Whether the producer as such is of no use any more."""
    return error.fatal() or error.code() == confluent_kafka.KafkaError._FATAL  # noqa: SLF001  # as above


def may_concern_others(error: confluent_kafka.KafkaError) -> bool:
    """Whether the broker may mean the whole batch, which it refuses as one: sent alone, the message may pass."""
    return error.code() in _OF_BATCHES


def producer_settings(kafka: Kafka) -> dict[str, Any]:
    """Our producer settings in librdkafka's names."""
    producer = kafka.producer
    return {
        "acks": producer.acks,
        "enable.idempotence": producer.is_idempotent,
        "retries": producer.retries,
        "retry.backoff.ms": producer.retry_backoff_ms,
        "batch.num.messages": producer.batch_messages,
        "batch.size": producer.batch_bytes,
        "linger.ms": producer.linger_ms,
        "compression.type": producer.compression,
        "message.timeout.ms": producer.delivery_timeout_ms,
        "partitioner": "murmur2_random",
        **client_settings(kafka),
    }


class Producer:
    """Sends messages and reports each one's fate, in the event loop that made it."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        on_receipts: Callable[[list[Receipt]], None],
        is_single: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        """`is_single`: every message in a batch of its own. With `metrics` the client library's statistics go there."""
        settings = producer_settings(kafka) | ({"batch.num.messages": 1} if is_single else {})
        if metrics is not None:
            settings = Statistics("relay.single" if is_single else "relay", metrics).added_to(settings)
        self._producer = confluent_kafka.Producer(settings, logger=client_logger())
        self._on_receipts = on_receipts
        self._loop = asyncio.get_running_loop()
        self._receipts: deque[Receipt] = deque()
        self._is_told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def send(self, token: Any, *, topic: str, key: str, value: bytes, headers: dict[str, Any]) -> bool:
        """Hand over one message; never blocks. False means that the queue is full: nothing was taken, come back later.

        Every message taken gets exactly one receipt, sooner or (by the delivery timeout) later.
        """
        try:
            self._producer.produce(topic, value, key, headers=headers, on_delivery=partial(self._delivered, token))
        except BufferError:
            return False
        except confluent_kafka.KafkaException as error:
            self._report((token, error.args[0], None, None))
        return True

    async def close(self, *, timeout_seconds: float) -> None:
        """Wait for outstanding messages at most so long, then stop. What had no answer is reported as failed.

        Every receipt was handed over when this returns. May be called twice.
        """
        try:
            await asyncio.to_thread(self._serve, self._producer.flush, timeout_seconds)
            if remaining := len(self._producer):
                log.warning("kafka.producer_gave_up", messages=remaining, next="they stay in the outbox")
                self._producer.purge()
            await asyncio.to_thread(self._serve, self._producer.flush, 1.0)
        finally:
            self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        self._hand_over()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._serve(self._producer.poll, 0.1)
            if len(self._producer) > _MANY:
                self._stopping.wait(_GATHER_SECONDS)

    def _serve(self, call: Callable[[float], Any], seconds: float) -> None:
        """Let the client library report. It raises a fatal error here, once; the receipts tell of it as well."""
        try:
            call(seconds)
        except confluent_kafka.KafkaException as error:
            log.error("kafka.producer_broken", error=error.args[0].str(), next="it is replaced")

    def _delivered(
        self, token: Any, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message
    ) -> None:
        self._report((token, error, message.partition(), message.offset()))

    def _report(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        if not self._is_told:  # one call into the loop for many receipts
            self._is_told = True
            self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._is_told = False
        arrived = self._receipts.popleft
        receipts = [arrived() for _ in range(len(self._receipts))]
        if receipts:
            self._on_receipts(receipts)
