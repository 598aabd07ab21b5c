"""The routes of the READMEs are those of the API."""

import re

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from usercenter.api.app import front_door
from usercenter.api.idempotency import IdempotencyKeys
from usercenter.api.services import Services
from usercenter.clock import SystemClock
from usercenter.config.model import Config
from usercenter.config.model import Tokens as TokenSettings
from usercenter.db import Database
from usercenter.messaging.brokers import KafkaState
from usercenter.metrics import Metrics
from usercenter.users.passwords import Passwords
from usercenter.users.tokens import Tokens

DESCRIPTION = "/openapi.json"


@pytest.fixture
def services():
    """What a front door needs to describe itself; nothing of it touches the network."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    config, clock = Config(tokens=TokenSettings(private_key=key)), SystemClock()
    tokens, passwords = Tokens(config.tokens, clock=clock), Passwords()
    yield Services(
        config=config,
        clock=clock,
        database=Database(config.database),
        metrics=Metrics(),
        passwords=passwords,
        tokens=tokens,
        idempotency=IdempotencyKeys(tokens.derive_key),
        cache=None,
        kafka_state=lambda: KafkaState(is_reachable=False, since=clock.now(), asked=[]),
        problems=list,
    )
    passwords.close()


def routes_named(rows: list[list[str]]) -> set[tuple[str, str]]:
    found = set()
    for first, *_ in rows:
        if method := re.match(r"`([A-Z]+) /", first):
            found |= {(method[1], path) for path in re.findall(r"[` ](/[^` ]*)`", first)}
    return found


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
async def test_the_routes_are_those_of_the_api(page, services, name):
    transport = httpx.ASGITransport(app=front_door(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://usercenter") as client:
        paths = (await client.get(DESCRIPTION)).raise_for_status().json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert routes_named(page(name).rows) == described | {("GET", DESCRIPTION)}
