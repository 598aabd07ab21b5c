"""COMMIT with an unknown outcome: the connection is lost between the COMMIT and its answer."""

from typing import Any

import httpx
import pytest
from faults.front import Front, ready
from harness import World

from usercenter.config.model import Config

pytestmark = pytest.mark.fault("F6")
REGISTER = "/api/v1/users/register"


@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "not committed"])
async def test_a_registration_whose_commit_has_no_answer_is_a_503_and_its_repetition_doubles_nothing(
    world: World, front: Front, far: Config, *, arrives: bool
) -> None:
    async with world.service(roles=["api"], config=far) as (_, client):
        await ready(client)
        cut = front.to_database.lose_answer_to if arrives else front.to_database.lose
        trap = cut(b"COMMIT", after=b"event_log")  # what the loops of the process commit is not meant
        first = await register(client, world, "ada", key="a-key")
        assert trap.has_sprung.is_set()
        assert await world.count("users") == int(arrives)
        second = await register(client, world, "ada", key="a-key")
        third = await register(client, world, "ada", key="a-key")

    assert (first.status_code, first.json()["error"]) == (503, "outcome_unknown")
    assert "Idempotency-Key" in first.json()["message"]
    assert first.headers["Retry-After"] == "2"
    assert second.status_code == 201
    assert third.content == second.content
    assert await world.count("users") == 1
    assert await world.count("event_log") == 1
    assert await world.count("sessions") == 1


@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "not committed"])
async def test_without_a_key_the_repetition_is_told_that_the_name_is_taken_if_it_is(
    world: World, front: Front, far: Config, *, arrives: bool
) -> None:
    async with world.service(roles=["api"], config=far) as (_, client):
        await ready(client)
        cut = front.to_database.lose_answer_to if arrives else front.to_database.lose
        trap = cut(b"insert into event_log")  # the statement commits itself
        first = await register(client, world, "ada")
        assert trap.has_sprung.is_set()
        assert await world.count("users") == int(arrives)
        second = await register(client, world, "ada")

    assert (first.status_code, first.json()["error"]) == (503, "outcome_unknown")
    assert (second.status_code, second.json().get("error")) == ((409, "username_taken") if arrives else (201, None))
    assert await world.count("users") == await world.count("event_log") == await world.count("sessions") == 1


async def test_a_read_whose_commit_has_no_answer_is_merely_unavailable(world: World, front: Front, far: Config) -> None:
    async with world.service(roles=["api"], config=far) as (_, client):
        await ready(client)
        token = (await register(client, world, "ada")).json()["token"]
        front.to_database.lose_answer_to(b"COMMIT", after=b"user_settings")
        answer = await client.get("/api/v1/users/me/settings", headers={"Authorization": f"Bearer {token}"})
        again = await client.get("/api/v1/users/me/settings", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
    assert again.status_code == 200


async def register(client: httpx.AsyncClient, world: World, name: str, *, key: str = "") -> Any:
    """Open an account."""
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(REGISTER, json=world.registration(name), headers=headers)
