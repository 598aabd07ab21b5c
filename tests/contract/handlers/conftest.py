"""A router of the product's own first group."""

import pytest
from harness import World
from receiving import Desk

from usercenter.handlers import groups
from usercenter.messaging.router import Router


@pytest.fixture
def router(world: World) -> Router:
    return Desk(world).router(groups(world.config.kafka)[0])
