"""Acme's extension, without any broker: the event on the wire, and the search index that takes the changes."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from acme.profile import UserProfileUpdated, extension, refresh_search_index

from usercenter.extension import Context, HeldClock, Registry, encode, new_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_event() -> UserProfileUpdated:
    return UserProfileUpdated(id=new_id(), timestamp=NOW, user_id=new_id(), username="ada", changes={"city": "London"})


def test_the_event_is_flat_json_with_its_type_and_comes_back_equal() -> None:
    event = an_event()

    assert json.loads(encode(event))["type"] == "user.profile_updated"
    assert Registry(extension.events).decode(encode(event)) == event


async def test_a_search_index_that_is_away_is_an_error_so_that_the_task_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_SEARCH_URL", "http://127.0.0.1:9")

    with pytest.raises(httpx.ConnectError):
        await refresh_search_index(an_event(), Context(clock=HeldClock(NOW)))
