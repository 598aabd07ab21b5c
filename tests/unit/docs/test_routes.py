"""The routes of the READMEs are those of the API."""

import re

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from usercenter.api.app import front_door
from usercenter.api.idempotency import IdempotencyKeys
from usercenter.api.services import Services
from usercenter.bootstrap import webhooks_of
from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.config.model import Tokens as TokenSettings
from usercenter.db import Database
from usercenter.messaging.brokers import KafkaState
from usercenter.metrics import Metrics
from usercenter.users.cache import UserCache
from usercenter.users.copies import Copies
from usercenter.users.exports import Exports
from usercenter.users.guesses import Guesses
from usercenter.users.owners import Owners
from usercenter.users.passwords import Passwords
from usercenter.users.pseudonyms import Pseudonyms
from usercenter.users.reset_limits import ResetLimits
from usercenter.users.signed_tokens import SignedTokens
from usercenter.users.tokens import Tokens

DESCRIPTION = "/openapi.json"


@pytest.fixture
def services():
    """What a front door needs to describe itself; nothing of it touches the network."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    config, clock = Config(tokens=TokenSettings(private_key=key)), SystemClock()
    tokens, passwords = Tokens(config.tokens, clock=clock), Passwords()
    database, metrics = Database(config.database), Metrics()
    yield Services(
        config=config,
        clock=clock,
        database=database,
        metrics=metrics,
        passwords=passwords,
        tokens=tokens,
        owners=Owners(database, Copies(seconds=0), clock=clock),
        refresh_tokens=SignedTokens(tokens.derive_key("refresh token")),
        one_time_tokens=SignedTokens(tokens.derive_key("one-time token")),
        idempotency=IdempotencyKeys(tokens.derive_key),
        reset_limits=ResetLimits(config.recovery, tokens.derive_key("reset requests")),
        guesses=Guesses(config.logins, b"key", metrics=metrics, clock=clock),
        exports=Exports(database, at_once=1),
        webhooks=webhooks_of(config, database=database, clock=clock),
        cache=None,
        users=UserCache(None, ttl_seconds=config.cache.ttl_seconds, metrics=metrics),
        pseudonyms=Pseudonyms(tokens.derive_key("pseudonym")),
        kafka_state=lambda: KafkaState(is_reachable=False, since=clock.now(), asked=[]),
        problems=list,
        notes=list,
        troubles=list,
    )
    passwords.close()


def routes_named(rows: list[list[str]]) -> set[tuple[str, str]]:
    """`GET PUT /a` `/b` in the first cell are four routes: a path without methods has those of the one before."""
    found = set()
    for first, *_ in rows:
        methods: list[str] = []
        for before, path in re.findall(r"`((?:[A-Z]+ )*)(/[^` ]*)`", first):
            methods = before.split() or methods
            found |= {(method, path) for method in methods}
    return found


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
async def test_the_routes_are_those_of_the_api(page, services, name):
    transport = httpx.ASGITransport(app=front_door(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://usercenter") as client:
        paths = (await client.get(DESCRIPTION)).raise_for_status().json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert routes_named(page(name).rows) == described | {("GET", DESCRIPTION)}
