"""What the routes work with; bootstrap builds it once. Knows nothing of the web framework."""

from collections.abc import Callable

import msgspec
import redis.asyncio as redis

from usercenter.api.idempotency import IdempotencyKeys
from usercenter.clock import Clock
from usercenter.config.model import Config
from usercenter.db import Database
from usercenter.messaging.brokers import KafkaState
from usercenter.metrics import Metrics
from usercenter.tracing import UNTRACED, Tracing
from usercenter.users.cache import UserCache
from usercenter.users.exports import Exports
from usercenter.users.guesses import Guesses
from usercenter.users.owners import Owners
from usercenter.users.passwords import Passwords
from usercenter.users.pseudonyms import Pseudonyms
from usercenter.users.reset_limits import ResetLimits
from usercenter.users.signed_tokens import SignedTokens
from usercenter.users.tokens import Tokens
from usercenter.webhooks.service import Webhooks


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a request may need."""

    config: Config
    clock: Clock
    database: Database
    metrics: Metrics
    passwords: Passwords
    tokens: Tokens
    owners: Owners
    refresh_tokens: SignedTokens
    one_time_tokens: SignedTokens
    idempotency: IdempotencyKeys
    reset_limits: ResetLimits
    guesses: Guesses
    exports: Exports
    webhooks: Webhooks
    cache: redis.Redis | None
    users: UserCache
    pseudonyms: Pseudonyms
    kafka_state: Callable[[], KafkaState]
    problems: Callable[[], list[str]]
    """What keeps this process from working, by its own parts; without looking at the network."""
    troubles: Callable[[], list[str]]
    """What keeps messages from being sent, while people are served: no reason not to be ready."""
    notes: Callable[[], list[str]]
    """What is worth knowing beside it, and keeps nothing from working."""
    tracing: Tracing = UNTRACED
