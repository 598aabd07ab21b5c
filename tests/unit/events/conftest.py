"""Events to test with."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from usercenter.events import USER_EVENTS, NotificationRequested, Registry, UserRegistered

ADA = UUID("01980000-0000-7000-8000-00000000000a")


@pytest.fixture
def registry() -> Registry:
    """All events of the service."""
    return Registry([*USER_EVENTS, NotificationRequested])


@pytest.fixture
def registered() -> UserRegistered:
    """An event with every field of the envelope but `causation_id`."""
    return UserRegistered(
        id=UUID("01980000-0000-7000-8000-000000000001"),
        timestamp=datetime(2026, 11, 24, 10, 30, 0, 250_000, tzinfo=UTC),
        request_id="req-1",
        user_id=ADA,
        actor=str(ADA),
        sequence=1,
        username="ada",
        email="ada@example.com",
    )
