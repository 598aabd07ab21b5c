"""What a person can do about an error of the broker, in a sentence for the log.

Nobody else can: no right is granted and no topic made by waiting. The events wait in the outbox meanwhile.
"""

from typing import Final

import confluent_kafka
from confluent_kafka import KafkaError


def next_step(error: confluent_kafka.KafkaError, *, otherwise: str) -> str:
    """What to do about it; `otherwise` where nobody needs to do anything."""
    return _STEPS.get(error.code(), otherwise)


_GRANT: Final = (
    "give the user of `kafka.librdkafka` its rights on the broker (topics: Describe, Read, Write; groups: Read; to "
    "make topics: Create); events wait in the outbox and are sent in order then"
)
_LOG_IN: Final = "correct the user or password in `kafka.librdkafka`; events wait in the outbox meanwhile"
_MAKE: Final = "make the topic: `usercenter topics create`; its events wait in the outbox and are sent in order then"
_REPLICAS: Final = "see to the brokers: too few replicas are in sync; events wait in the outbox meanwhile"
_STEPS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _GRANT,
    KafkaError.SASL_AUTHENTICATION_FAILED: _LOG_IN,
    KafkaError._AUTHENTICATION: _LOG_IN,  # noqa: SLF001  # the library's public constants
    KafkaError.UNKNOWN_TOPIC_OR_PART: _MAKE,
    KafkaError._UNKNOWN_TOPIC: _MAKE,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION: _MAKE,  # noqa: SLF001
    KafkaError.NOT_ENOUGH_REPLICAS: _REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: _REPLICAS,
}
